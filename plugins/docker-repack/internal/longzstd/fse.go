package longzstd

import (
	"math"
	"math/bits"
)

// A table encodes the symbols of one kind with finite state entropy, as RFC 8878,
// section 4.1, decodes them.
type table struct {
	log   uint8
	norm  []int16 // per symbol, of 1<<log states; -1 stands for less than one
	state []uint16
	code  []symbolCode
}

// A symbolCode tells how a state changes when a symbol is put out.
type symbolCode struct {
	bits  uint32 // added to the state, the upper half is the number of bits put out
	state int32  // added to what is left of the state, an index of table.state
}

// maxSymbols is the largest number of symbols of any of the three kinds.
const maxSymbols = 53

// set makes the table that norm describes, 1<<log states in all.
func (t *table) set(norm []int16, log uint8) {
	size := 1 << log
	t.log = log
	t.norm = append(t.norm[:0], norm...)
	if cap(t.state) < size {
		t.state = make([]uint16, size)
	}
	t.state = t.state[:size]
	if cap(t.code) < len(norm) {
		t.code = make([]symbolCode, maxSymbols)
	}
	t.code = t.code[:len(norm)]

	// Section 4.1.1: rare symbols take states from the end, the others are spread.
	var first [maxSymbols + 1]int
	var symbols [1 << maxLog]uint8
	high := size - 1
	for s, n := range norm {
		if n == -1 {
			symbols[high] = uint8(s)
			high--
			n = 1
		}
		first[s+1] = first[s] + int(n)
	}
	step, mask, at := size>>1+size>>3+3, size-1, 0
	for s, n := range norm {
		for range n {
			symbols[at] = uint8(s)
			at = (at + step) & mask
			for at > high {
				at = (at + step) & mask
			}
		}
	}
	next := first
	for i, s := range symbols[:size] {
		t.state[next[s]] = uint16(size + i)
		next[s]++
	}
	for s, n := range norm {
		switch n {
		case 0:
			t.code[s] = symbolCode{}
		case 1, -1:
			t.code[s] = symbolCode{uint32(log)<<16 - uint32(size), int32(first[s]) - 1}
		default:
			most := uint32(log) - uint32(bits.Len16(uint16(n-1))-1)
			t.code[s] = symbolCode{most<<16 - uint32(n)<<most, int32(first[s]) - int32(n)}
		}
	}
}

// begin returns the state that stands for s alone.
func (t *table) begin(s uint8) uint32 {
	c := t.code[s]
	n := (c.bits + 1<<15) >> 16
	return uint32(t.state[int32((n<<16-c.bits)>>n)+c.state])
}

// put puts a symbol out and returns the state after it.
func (t *table) put(w *bitWriter, state uint32, s uint8) uint32 {
	c := t.code[s]
	n := (state + c.bits) >> 16
	w.add(uint64(state), uint8(n))
	return uint32(t.state[int32(state>>n)+c.state])
}

// cost is about how much the symbols of a histogram take, in parts of a bit, or
// infinite if the table does not have all of them.
func (t *table) cost(count []uint32) uint64 {
	var sum uint64
	for s, n := range count {
		if n == 0 {
			continue
		}
		if s >= len(t.norm) || t.norm[s] == 0 {
			return infinite
		}
		share := t.norm[s]
		if share < 0 {
			share = 1
		}
		sum += uint64(n) * (uint64(t.log)*bit - log2[share])
	}
	return sum
}

// Costs are whole numbers, of parts of a bit, for sums of others may be rounded in one
// way by one machine and in another by the next.
const (
	bit      = 1 << 24
	infinite = math.MaxUint64
)

// log2 holds the logarithms of what a norm can be.
var log2 = func() (out [1<<maxLog + 1]uint64) {
	for i := 1; i < len(out); i++ {
		out[i] = uint64(math.Round(math.Log2(float64(i)) * bit))
	}
	return out
}()

// normalize scales a histogram of total symbols to 1<<log states, at least one for
// each that occurs. Norm is as long as count.
func normalize(norm []int16, count []uint32, total uint32, log uint8) {
	size := 1 << log
	left := size
	for s, n := range count {
		norm[s] = 0
		if n > 0 {
			norm[s] = int16(max(uint64(n)<<log/uint64(total), 1))
			left -= int(norm[s])
		}
	}
	// What rounding has left goes where it saves most, and what it has taken too much
	// comes from where that costs least.
	for ; left > 0; left-- {
		best, gain := 0, uint64(0)
		for s, n := range count {
			if n > 0 {
				if g := uint64(n) * (log2[norm[s]+1] - log2[norm[s]]); g > gain {
					best, gain = s, g
				}
			}
		}
		norm[best]++
	}
	for ; left < 0; left++ {
		best, loss := 0, uint64(infinite)
		for s, n := range count {
			if norm[s] > 1 {
				if l := uint64(n) * (log2[norm[s]] - log2[norm[s]-1]); l < loss {
					best, loss = s, l
				}
			}
		}
		norm[best]--
	}
}

// appendNorm appends the description of a table, RFC 8878 section 4.1.1. Norm ends
// with a symbol that occurs.
func appendNorm(out []byte, norm []int16, log uint8) []byte {
	w := bitWriter{out: out}
	w.add(uint64(log-5), 4)
	size := 1 << log
	left, threshold, width := size+1, size, log+1
	zero := false
	for s := 0; s < len(norm) && left > 1; {
		if zero {
			run := 0
			for norm[s+run] == 0 {
				run++
			}
			s += run
			for ; run >= 3; run -= 3 {
				w.add(3, 2)
				w.carry()
			}
			w.add(uint64(run), 2)
		}
		n := int(norm[s])
		s++
		most := 2*threshold - 1 - left
		if n < 0 {
			left--
		} else {
			left -= n
		}
		n++
		value := n
		if n >= threshold {
			value += most
		}
		bits := width
		if n < most {
			bits--
		}
		w.add(uint64(value), bits)
		w.carry()
		zero = n == 1
		for left < threshold {
			width--
			threshold >>= 1
		}
	}
	return w.flush()
}
