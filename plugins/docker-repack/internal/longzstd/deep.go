package longzstd

import "math/bits"

// A deep finder looks at many of the places that begin with the same bytes: at the last
// ones of each row of a table, told apart by a byte of their hash. Of the matches that
// begin within three bytes it takes the best.
type deep struct {
	rows    []row                    // by five bytes
	eight   *[1 << eightBits][2]spot // by eight, which may be farther away
	four    []uint32                 // by four, which have to be near
	recent  [3]int                   // distances
	next    int                      // position of the first byte that is in no table
	touched int                      // position of the first byte whose rows may not be in the cache
	ahead   uint64                   // something that depends on what was touched
}

// A row is a line of the cache: the last positions with one hash, in a ring.
type row struct {
	low, high uint64 // a tag for each position, and in the highest byte where the next one goes
	at        [rowSize]uint32
}

const (
	rowSize  = 12
	rowBytes = 64
	// Logarithms of the sizes of the tables.
	rowBits   = 18
	eightBits = 18
	fourBits  = 15
	// deepEnough is the length of a match than which no better one is looked for.
	deepEnough = 256
	// touchAhead is how many positions are touched at once.
	touchAhead = 32
	// tired is the step from which on what is stepped over is not remembered either.
	tired = 4
	// Of a match longer than fewBytes, the first and the last edge positions are remembered.
	fewBytes = 1024
	edge     = 256
)

func newDeep() *deep {
	return &deep{
		rows:  huge(make([]row, 1<<rowBits)),
		eight: (*[1 << eightBits][2]spot)(huge(make([][2]spot, 1<<eightBits))),
		four:  make([]uint32, 1<<fourBits),
	}
}

func (f *deep) reset() {
	clear(f.rows)
	clear(f.eight[:])
	clear(f.four)
	f.recent = [3]int{1, 4, 8}
	f.next, f.touched = 0, 0
}

func (f *deep) used(distance int) {
	switch distance {
	case f.recent[0]:
	case f.recent[1]:
		f.recent[0], f.recent[1] = distance, f.recent[0]
	default:
		f.recent = [3]int{distance, f.recent[0], f.recent[1]}
	}
}

// eightAt returns the entry for eight bytes, and what stands for them at a position.
func (f *deep) eightAt(v uint64, position int) (*[2]spot, spot) {
	h := v * eightPrime
	return &f.eight[h>>(64-eightBits)], spot(position)<<tagBits | spot(h>>(64-eightBits-tagBits))&(1<<tagBits-1)
}

func fourOf(v uint64) uint32 { return uint32(v) * 2654435761 >> (32 - fourBits) }

func rowOf(v uint64) (index int, tag uint64) {
	h := v << 24 * 0x9e3779b185ebca87 >> (64 - rowBits - 8)
	return int(h >> 8), h & 0xff
}

// insert puts the position at i into its row.
func (f *deep) insert(b []byte, base, i int) {
	v := load64(b, i)
	index, tag := rowOf(v)
	f.rows[index&(1<<rowBits-1)].put(tag, uint32(i+base))
	l, at := f.eightAt(v, i+base)
	l[1], l[0] = l[0], at
	f.four[fourOf(v)] = uint32(i + base)
}

// put replaces the oldest position of a row.
func (r *row) put(tag uint64, position uint32) {
	head := r.high >> 56
	if head >= rowSize {
		head = 0
	}
	r.at[head] = position
	shift := head << 3 & 63
	if head < 8 {
		r.low = r.low&^(0xff<<shift) | tag<<shift
	} else {
		r.high = r.high&^(0xff<<shift) | tag<<shift
	}
	r.high = r.high&(1<<56-1) | (head+1)<<56
}

// touch brings the rows of the positions around i+touchAhead into the cache, several at a time, so
// that the processor waits for all of them at once.
func (f *deep) touch(b []byte, base, i int) {
	from := max(f.touched-base, i)
	to := min(i+touchAhead, len(b)-8)
	x := f.ahead
	for ; from < to; from++ {
		v := load64(b, from)
		index, _ := rowOf(v)
		x += f.rows[index&(1<<rowBits-1)].low
		l, _ := f.eightAt(v, 0)
		x += uint64(l[0])
	}
	f.ahead = x
	f.touched = to + base
}

// cover inserts what lies between the last position that was inserted and i.
func (f *deep) cover(b []byte, base, i int) {
	from := max(f.next-base, 0)
	if i-from > fewBytes {
		for k := from; k < from+edge; k++ {
			f.insert(b, base, k)
		}
		from = i - edge
	}
	for k := from; k < i; k++ {
		if k+base+touchAhead/2 >= f.touched {
			f.touch(b, base, k)
		}
		f.insert(b, base, k)
	}
	f.next = max(i+base, f.next)
}

// search returns the best match at s that gains more than least.
func (f *deep) search(b []byte, base, s, end, low, least int) (length, distance, gained int) {
	gained = least
	better := func(n, d int) {
		if g := gain(n, d); g > gained {
			length, distance, gained = n, d, g
		}
	}
	if s+base+touchAhead/2 >= f.touched {
		f.touch(b, base, s)
	}
	v := load64(b, s)
	l, here := f.eightAt(v, s+base)
	d0, d1 := here.to(l[0], s-low), here.to(l[1], s-low)
	index, tag := rowOf(v)
	row := &f.rows[index&(1<<rowBits-1)]
	// The highest bit of each byte that is the tag, and now and then of another one.
	const ones = 0x0101010101010101
	x, y := row.low^ones*tag, row.high^ones*tag
	x, y = (x-ones)&^x&(ones<<7), (y-ones)&^y&(ones<<7&(1<<32-1))
	if d0 > 0 && load64(b, s-d0) == v {
		better(8+matchLen(b, s+8, s-d0+8, end), d0)
	}
	if d1 > 0 && load64(b, s-d1) == v {
		better(8+matchLen(b, s+8, s-d1+8, end), d1)
	}
	for k := 0; k < 2; k++ {
		for ; x != 0; x &= x - 1 {
			at := int(row.at[(k<<3|bits.TrailingZeros64(x)>>3)%rowSize]) - base
			if at < low || load32(b, at) != uint32(v) || s+length < end && b[at+length] != b[s+length] {
				continue
			}
			better(4+matchLen(b, s+4, at+4, end), s-at)
		}
		x = y
	}
	p := &f.four[fourOf(v)]
	if at := int(*p) - base; length == 0 && at >= low && load32(b, at) == uint32(v) {
		better(4+matchLen(b, s+4, at+4, end), s-at)
	}
	*p = uint32(s + base)
	row.put(tag, uint32(s+base))
	l[1], l[0] = l[0], here
	f.next = s + 1 + base
	return length, distance, gained
}

// again returns the best match at s with one of the recent distances.
func (f *deep) again(b []byte, s, end, low, least int) (length, distance, gained int) {
	gained = least
	for i, r := range f.recent {
		if r == 0 || s-r < low || load32(b, s) != load32(b, s-r) {
			continue
		}
		n := 4 + matchLen(b, s+4, s-r+4, end)
		if g := n<<2 - i; g > gained {
			length, distance, gained = n, r, g
		}
	}
	return length, distance, gained
}

// find adds the sequences of b[start:end] to the block, as that of near does.
func (f *deep) find(b []byte, base, anchor, start, end, low int, out *block) int {
	last := end - 9
	if start < last {
		f.cover(b, base, start)
	}
	for s := start; s < last; {
		if f.next < s+base {
			f.cover(b, base, s)
		}
		at, length, distance := f.best(b, base, s, end, low)
		if length == 0 {
			step := 1 + (s-anchor)>>skip
			if s += step; step > tired {
				f.next, f.touched = s+base, s+base+touchAhead
			}
			continue
		}
		n := matchBack(b, at, at-distance, anchor, low)
		at, length = at-n, length+n
		out.literals = append(out.literals, b[anchor:at]...)
		out.sequences = append(out.sequences, sequence{uint32(at - anchor), uint32(length), uint32(distance)})
		f.used(distance)
		s = at + length
		anchor = s
		if s < last {
			f.cover(b, base, s)
		}
	}
	return anchor
}

// best returns the best match that begins at s, or a byte or two after each that was the best
// so far; its length is 0 if there is none at s.
func (f *deep) best(b []byte, base, s, end, low int) (at, length, distance int) {
	at = s
	length, distance, gained := f.again(b, s, end, low, 0)
	if n, d, g := f.search(b, base, s, end, low, gained+1); n > 0 {
		length, distance, gained = n, d, g
	}
	if length == 0 {
		return at, 0, 0
	}
	for k, tries := s+1, 0; tries < 2 && k < end-9 && length < deepEnough; k++ {
		tries++
		least := gained + 4*(k-at) - 1
		n, d, g := f.again(b, k, end, low, least)
		if n > 0 {
			least = g
		}
		if n2, d2, g2 := f.search(b, base, k, end, low, least+1); n2 > 0 {
			n, d, g = n2, d2, g2
		}
		if n > 0 {
			at, length, distance, gained = k, n, d, g
			tries = min(tries, 1)
		}
	}
	return at, length, distance
}
