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
	long   [][2]uint32 // positions, the newest first
	short  []uint32
	recent [2]int // distances
}

const (
	longBits  = 18
	shortBits = 16
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
	return &near{long: huge(make([][2]uint32, 1<<longBits)), short: make([]uint32, 1<<shortBits), recent: [2]int{1, 4}}
}

func (f *near) reset() {
	clear(f.long)
	clear(f.short)
	f.recent = [2]int{1, 4}
}

func (f *near) used(distance int) {
	if distance != f.recent[0] {
		f.recent = [2]int{distance, f.recent[0]}
	}
}

func hashLong(v uint64) uint64  { return v * 0xcf1bbcdcb7a56463 >> (64 - longBits) }
func hashShort(v uint64) uint64 { return v << 24 * 0x9e3779b185ebca87 >> (64 - shortBits) }

// insert remembers what is at i.
func (f *near) insert(b []byte, base, i int) {
	v := load64(b, i)
	l := &f.long[hashLong(v)]
	l[1], l[0] = l[0], uint32(i+base)
	f.short[hashShort(v)] = uint32(i + base)
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
	l := &f.long[hashLong(v)]
	p := &f.short[hashShort(v)]
	c0, c1, c2 := int(l[0])-base, int(l[1])-base, int(*p)-base
	l[1], l[0] = l[0], uint32(s+base)
	*p = uint32(s + base)
	// Another one with the last distance takes the least.
	if r := s + 1 - f.recent[0]; r >= low && load32(b, r) == uint32(v>>8) {
		return match{s + 1, s + 5 + matchLen(b, s+5, r+4, end), f.recent[0]}
	}
	length, distance := 0, 0
	if c0 >= low && load64(b, c0) == v {
		length, distance = 8+matchLen(b, s+8, c0+8, end), s-c0
	}
	if c1 >= low && load64(b, c1) == v {
		if n := 8 + matchLen(b, s+8, c1+8, end); gain(n, s-c1) > gain(length, distance) {
			length, distance = n, s-c1
		}
	}
	if length == 0 && c2 >= low && load32(b, c2) == uint32(v) {
		length, distance = 4+matchLen(b, s+4, c2+4, end), s-c2
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
		v := load64(b, s+step)
		l := &f.long[hashLong(v)]
		least := gain(m.end-m.start, m.distance) + 4*(s+step-m.start)
		for _, e := range *l {
			if c := int(e) - base; c >= low && c < s && load64(b, c) == v {
				n := 8 + matchLen(b, s+step+8, c+8, end)
				if g := gain(n, s+step-c); g > least {
					m, least = match{s + step, s + step + n, s + step - c}, g
				}
			}
		}
		if step == 1 {
			l[1], l[0] = l[0], uint32(s+1+base)
			f.short[hashShort(v)] = uint32(s + 1 + base)
		}
	}
	return m
}

// cover remembers what begins from i on, up to stop: half of it in each table.
func (f *near) cover(b []byte, base, i, stop int) {
	for ; i+1 < stop; i += 2 {
		l := &f.long[hashLong(load64(b, i))]
		l[1], l[0] = l[0], uint32(i+base)
		f.short[hashShort(load64(b, i+1))] = uint32(i + 1 + base)
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
