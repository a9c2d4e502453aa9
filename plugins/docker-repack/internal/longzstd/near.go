package longzstd

import (
	"encoding/binary"
	"math/bits"
)

func load32(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }
func load64(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

// matchLen is how many bytes from i on are the same as those from j on, j < i, up to
// end.
func matchLen(b []byte, i, j, end int) int {
	start := i
	for i+8 <= end {
		if x := load64(b, i) ^ load64(b, j); x != 0 {
			return i - start + bits.TrailingZeros64(x)>>3
		}
		i += 8
		j += 8
	}
	for i < end && b[i] == b[j] {
		i++
		j++
	}
	return i - start
}

// matchBack is how many bytes before i are the same as those before j, j < i, down to
// start and low.
func matchBack(b []byte, i, j, start, low int) int {
	n := 0
	for i-n > start && j-n > low && b[i-n-1] == b[j-n-1] {
		n++
	}
	return n
}

// A near finder finds matches by what eight and what five bytes it has seen last where.
type near struct {
	long   *[1 << longBits][2]spot // the newest first
	short  *[1 << shortBits]spot
	recent [2]int // distances
}

// A spot is a position, modulo 1<<spotBits, and in the lower bits some of the hash of
// what is there: for most of what is not the same, that saves a look at it. What is farther away
// than 1<<spotBits, or was never set, is taken for another position, and compared in vain.
type spot uint32

const (
	longBits  = 19
	shortBits = 17
	spotBits  = 27
	tagBits   = 32 - spotBits
	// eightPrime spreads eight bytes.
	eightPrime = 0xcf1bbcdcb7a56463
	// skip is how fast it gets tired of looking where nothing is found: by one byte
	// for so many.
	skip = 7
	// farFour is the distance from which on a match of four bytes takes more than
	// it saves.
	farFour = 1 << 17
	// longEnough is the length of a match than which no better one is looked for.
	longEnough = 128
)

func newNear() *near {
	return &near{long: (*[1 << longBits][2]spot)(huge(make([][2]spot, 1<<longBits))), short: new([1 << shortBits]spot), recent: [2]int{1, 4}}
}

func (f *near) reset() {
	clear(f.long[:])
	clear(f.short[:])
	f.recent = [2]int{1, 4}
}

func (f *near) used(distance int) {
	if distance != f.recent[0] {
		f.recent = [2]int{distance, f.recent[0]}
	}
}

// longAt returns the entry for eight bytes, and what stands for them at a position.
func (f *near) longAt(v uint64, position int) (*[2]spot, spot) {
	h := v * eightPrime
	return &f.long[h>>(64-longBits)], spot(position)<<tagBits | spot(h>>(64-longBits-tagBits))&(1<<tagBits-1)
}

// shortAt is longAt for five bytes.
func (f *near) shortAt(v uint64, position int) (*spot, spot) {
	h := v << 24 * 0x9e3779b185ebca87
	return &f.short[h>>(64-shortBits)], spot(position)<<tagBits | spot(h>>(64-shortBits-tagBits))&(1<<tagBits-1)
}

// to returns how far before p a spot is, if what is there may be the same, and at most most; else 0.
func (p spot) to(before spot, most int) int {
	d := p - before
	if d&(1<<tagBits-1) != 0 || int(d>>tagBits) > most {
		return 0
	}
	return int(d >> tagBits)
}

// insert remembers what is at i.
func (f *near) insert(b []byte, base, i int) {
	v := load64(b, i)
	l, at := f.longAt(v, i+base)
	l[1], l[0] = l[0], at
	p, at := f.shortAt(v, i+base)
	*p = at
}

// gain compares matches: four for each byte, less what the distance takes.
func gain(length, distance int) int { return length<<2 - bits.Len(uint(distance)) }

// find adds the sequences of b[start:end] to the block, with matches that reach back
// to low at most. Literals begin at anchor; it returns where those begin that are left.
func (f *near) find(b []byte, base, anchor, start, end, low int, out *block) int {
	s := start
	for last := end - 9; s < last; {
		m := f.look(b, base, s, end, low)
		if m.end == 0 {
			s += 1 + (s-anchor)>>skip
			continue
		}
		if m.start == s {
			m = f.later(b, base, m, end, low)
			m.start -= matchBack(b, m.start, m.start-m.distance, anchor, low)
		}
		out.literals = append(out.literals, b[anchor:m.start]...)
		out.sequences = append(out.sequences, sequence{uint32(m.start - anchor), uint32(m.end - m.start), uint32(m.distance)})
		f.used(m.distance)
		f.cover(b, base, max(s+2, m.start), min(m.end, last))
		s = f.back(b, base, m.end, end, low, out)
		anchor = s
	}
	return anchor
}

// look remembers what is at s, and returns a match that begins there or one byte later; its
// end is 0 if there is none.
func (f *near) look(b []byte, base, s, end, low int) match {
	v := load64(b, s)
	l, at := f.longAt(v, s+base)
	p, short := f.shortAt(v, s+base)
	d0, d1, d2 := at.to(l[0], s-low), at.to(l[1], s-low), short.to(*p, s-low)
	l[1], l[0] = l[0], at
	*p = short
	// Another one with the last distance takes the least.
	if r := s + 1 - f.recent[0]; r >= low && load32(b, r) == uint32(v>>8) {
		return match{s + 1, s + 5 + matchLen(b, s+5, r+4, end), f.recent[0]}
	}
	length, distance := 0, 0
	if d0 > 0 && load64(b, s-d0) == v {
		length, distance = 8+matchLen(b, s+8, s-d0+8, end), d0
	}
	if d1 > 0 && load64(b, s-d1) == v {
		if n := 8 + matchLen(b, s+8, s-d1+8, end); gain(n, d1) > gain(length, distance) {
			length, distance = n, d1
		}
	}
	if length == 0 && d2 > 0 && load32(b, s-d2) == uint32(v) {
		length, distance = 4+matchLen(b, s+4, s-d2+4, end), d2
		if length == 4 && distance > farFour {
			length = 0
		}
	}
	if length == 0 {
		return match{}
	}
	return match{s, s + length, distance}
}

// later returns a better match that begins one or two bytes after m, or m.
func (f *near) later(b []byte, base int, m match, end, low int) match {
	s := m.start
	for step := 1; step <= 2 && s+step < end-9 && m.end-m.start < longEnough; step++ {
		i := s + step
		v := load64(b, i)
		l, at := f.longAt(v, i+base)
		least := gain(m.end-m.start, m.distance) + 4*(i-m.start)
		for _, e := range *l {
			if d := at.to(e, i-low); d > step && load64(b, i-d) == v {
				n := 8 + matchLen(b, i+8, i-d+8, end)
				if g := gain(n, d); g > least {
					m, least = match{i, i + n, d}, g
				}
			}
		}
		if step == 1 {
			l[1], l[0] = l[0], at
			p, at := f.shortAt(v, i+base)
			*p = at
		}
	}
	return m
}

// cover remembers what begins from i on, up to stop: half of it in each table.
func (f *near) cover(b []byte, base, i, stop int) {
	for ; i+1 < stop; i += 2 {
		l, at := f.longAt(load64(b, i), i+base)
		l[1], l[0] = l[0], at
		p, at := f.shortAt(load64(b, i+1), i+1+base)
		*p = at
	}
}

// back adds matches at s with the distance before the last one, without literals between
// them, and returns where they end.
func (f *near) back(b []byte, base, s, end, low int, out *block) int {
	for {
		r := s - f.recent[1]
		if s >= end-9 || r < low || load32(b, s) != load32(b, r) {
			return s
		}
		n := 4 + matchLen(b, s+4, r+4, end)
		f.insert(b, base, s)
		out.sequences = append(out.sequences, sequence{0, uint32(n), uint32(s - r)})
		f.recent[0], f.recent[1] = f.recent[1], f.recent[0]
		s += n
	}
}
