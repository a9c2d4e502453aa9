package longzstd

import (
	"math/bits"
)

// A deep finder looks at many of the places that begin with the same bytes: at the last
// ones of each row of a table, told apart by a byte of their hash. Of the matches that
// begin within three bytes it takes the best.
type deep struct {
	rows    []row
	long    [][2]uint32
	recent  [3]int
	next    int // position of the first byte that is in no row
	touched int
	ahead   uint64
}

// A row is a line of the cache: the last positions with one hash, in a ring.
type row struct {
	low, high uint64 // a tag for each position, and in the highest byte where the next one goes
	at        [rowSize]uint32
}

const (
	rowSize = 12
	// rowBits is the logarithm of the number of rows.
	rowBits      = 18
	deepLongBits = 18
)

func newDeep() *deep {
	return &deep{rows: make([]row, 1<<rowBits), long: make([][2]uint32, 1<<deepLongBits)}
}

func (f *deep) reset() {
	clear(f.rows)
	clear(f.long)
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

func rowOf(v uint64) (index int, tag uint64) {
	h := v << 24 * 0x9e3779b185ebca87 >> (64 - rowBits - 8)
	return int(h >> 8), h & 0xff
}

// insert puts the position at i into its row.
func (f *deep) insert(b []byte, base, i int) {
	v := load64(b, i)
	index, tag := rowOf(v)
	f.rows[index&(1<<rowBits-1)].put(tag, uint32(i+base))
	l := &f.long[v*0xcf1bbcdcb7a56463>>(64-deepLongBits)]
	l[1], l[0] = l[0], uint32(i+base)
}

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
		x += uint64(f.long[v*0xcf1bbcdcb7a56463>>(64-deepLongBits)][0])
	}
	f.ahead = x
	f.touched = to + base
}

const touchAhead = 32

// cover inserts what lies between the last position that was inserted and i.
func (f *deep) cover(b []byte, base, i int) {
	from := max(f.next-base, 0)
	if i-from > 1024 { // of a long match, the ends do
		for k := from; k < from+256; k++ {
			f.insert(b, base, k)
		}
		from = i - 256
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
	if s+base+touchAhead/2 >= f.touched {
		f.touch(b, base, s)
	}
	v := load64(b, s)
	l := &f.long[v*0xcf1bbcdcb7a56463>>(64-deepLongBits)]
	c0, c1 := int(l[0])-base, int(l[1])-base
	index, tag := rowOf(v)
	row := &f.rows[index&(1<<rowBits-1)]
	const ones = 0x0101010101010101
	x, y := row.low^ones*tag, row.high^ones*tag
	x, y = (x-ones)&^x&(ones<<7), (y-ones)&^y&(ones<<7&(1<<32-1))
	if c0 >= low && load64(b, c0) == v {
		n := 8 + matchLen(b, s+8, c0+8, end)
		if g := gain(n, s-c0); g > gained {
			length, distance, gained = n, s-c0, g
		}
	}
	if c1 >= low && load64(b, c1) == v {
		n := 8 + matchLen(b, s+8, c1+8, end)
		if g := gain(n, s-c1); g > gained {
			length, distance, gained = n, s-c1, g
		}
	}
	for k := 0; k < 2; k++ {
		for ; x != 0; x &= x - 1 {
			at := int(row.at[(k<<3|bits.TrailingZeros64(x)>>3)%rowSize]) - base
			if at < low || load32(b, at) != uint32(v) || s+length < end && b[at+length] != b[s+length] {
				continue
			}
			n := 4 + matchLen(b, s+4, at+4, end)
			if g := gain(n, s-at); g > gained && (n > 4 || s-at < 1<<14) {
				length, distance, gained = n, s-at, g
			}
		}
		x = y
	}
	row.put(tag, uint32(s+base))
	l[1], l[0] = l[0], uint32(s+base)
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
		at := s
		length, distance, gained := f.again(b, s, end, low, 0)
		if n, d, g := f.search(b, base, s, end, low, gained+1); n > 0 {
			length, distance, gained = n, d, g
		}
		if length == 0 {
			// a repetition one byte later costs nothing but a literal
			s += 1 + (s-anchor)>>skip
			continue
		}
		for step := 1; step <= 2 && s+step < last && length < 256; step++ {
			k := s + step
			least := gained + 4*(k-at) - 1
			if k == at {
				least = gained
			}
			n, d, g := f.again(b, k, end, low, least)
			if n > 0 {
				least = g
			}
			if n2, d2, g2 := f.search(b, base, k, end, low, least+1); n2 > 0 {
				n, d, g = n2, d2, g2
			}
			if n > 0 {
				at, length, distance, gained = k, n, d, g
				if step == 2 && s+3 < last && length < 256 {
					s++
					step--
				}
			}
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
