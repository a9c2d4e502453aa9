package longzstd

import (
	"errors"
	"math/bits"

	"github.com/klauspost/compress/huff0"
)

// maxBlock is the most that a block stands for, RFC 8878 section 3.1.1.2.4.
const maxBlock = 128 << 10

// A sequence is some literals and a match after them.
type sequence struct {
	literals, match, distance uint32 // bytes
}

// A block is what the finders have made of a stretch of the stream.
type block struct {
	raw       []byte // the stretch; it stays where it is until the block is encoded
	literals  []byte
	sequences []sequence
	last      bool
}

// An encoder turns blocks into bytes. What it has told the decoder lasts from block to
// block: the last three distances and the tables.
type encoder struct {
	recent  [3]uint32
	huff    *huff0.Scratch
	kinds   [3]kind // literal lengths, offsets, match lengths: the order of the format
	symbols [3][]uint8
	extra   []uint64 // bits of the three kinds, already together
	width   []uint8
	pieces  []piece
	parts   []block
	out     []byte
}

// A kind is one of the three kinds of symbols.
type kind struct {
	known       *table
	maxLog      uint8
	last, fresh *table
	valid       bool // last is what the decoder has
	mode        byte // of the block that is being encoded
	norm        [maxSymbols]int16
	count       [maxSymbols]uint32
}

func newEncoder() *encoder {
	e := &encoder{recent: [3]uint32{1, 4, 8}, huff: &huff0.Scratch{WantLogLess: 4, Reuse: huff0.ReusePolicyNone}}
	for i, k := range []kind{
		{known: literalDefault, maxLog: literalLog},
		{known: offsetDefault, maxLog: offsetLog},
		{known: matchDefault, maxLog: matchLog},
	} {
		k.last, k.fresh = new(table), new(table)
		e.kinds[i] = k
	}
	return e
}

// Types of blocks, section 3.1.1.2.2, and of sections of literals, 3.1.1.3.1.1.
const (
	blockRaw, blockRLE, blockCompressed = 0, 1, 2

	literalsRaw, literalsRLE, literalsCompressed, literalsTreeless = 0, 1, 2, 3
)

// encode returns the bytes of a block, or of several that stand for it, valid until the next
// call.
func (e *encoder) encode(b *block) ([]byte, error) {
	e.out = e.out[:0]
	for _, part := range e.split(b) {
		if err := e.append(&part); err != nil {
			return nil, err
		}
	}
	return e.out, nil
}

// append appends one block.
func (e *encoder) append(b *block) error {
	const header = 3
	start := len(e.out)
	out := append(e.out, 0, 0, 0)
	recent := e.recent
	var size, kindOf int
	if out, ok, err := e.compress(out, b); err != nil {
		return err
	} else if ok && len(out)-start-header < len(b.raw) {
		if len(b.sequences) > 0 {
			e.commit()
		}
		e.out = out
		kindOf, size = blockCompressed, len(out)-start-header
	} else {
		// The decoder learns nothing from a raw block.
		e.recent = recent
		e.huff.Reuse = huff0.ReusePolicyNone
		kindOf, size = blockRaw, len(b.raw)
		e.out = append(out[:start+header], b.raw...)
	}
	head := uint32(size)<<3 | uint32(kindOf)<<1
	if b.last {
		head |= 1
	}
	e.out[start], e.out[start+1], e.out[start+2] = byte(head), byte(head>>8), byte(head>>16)
	return nil
}

// compress appends the content of a compressed block, or reports that it is none.
func (e *encoder) compress(out []byte, b *block) ([]byte, bool, error) {
	if len(b.raw) < 32 {
		return out, false, nil
	}
	out, ok, err := e.literals(out, b)
	if err != nil || !ok {
		return out, false, err
	}
	return e.sequences(out, b), true, nil
}

// literals appends the section of literals. It is not ok if there is nothing but
// literals and these do not compress.
func (e *encoder) literals(out []byte, b *block) (_ []byte, ok bool, err error) {
	lits := b.literals
	n := uint64(len(lits))
	packed, reused, err := []byte(nil), false, huff0.ErrIncompressible
	four := len(lits) >= 1024
	switch {
	case four:
		packed, reused, err = huff0.Compress4X(lits, e.huff)
	case len(lits) >= 32:
		packed, reused, err = huff0.Compress1X(lits, e.huff)
	}
	switch {
	case err == nil && len(packed)+5 > len(lits):
		// The decoder will not see the table.
		e.huff.Reuse = huff0.ReusePolicyNone
		err = huff0.ErrIncompressible
	case err == nil:
		e.huff.Reuse = huff0.ReusePolicyAllow
	}
	switch {
	case err == nil:
		typ := uint64(literalsCompressed)
		if reused {
			typ = literalsTreeless
		}
		size := uint64(len(packed))
		most := max(n, size)
		switch {
		case most < 1<<10:
			format := uint64(0)
			if four {
				format = 1
			}
			out = appendBytes(out, typ|format<<2|n<<4|size<<14, 3)
		case most < 1<<14:
			out = appendBytes(out, typ|2<<2|n<<4|size<<18, 4)
		default:
			out = appendBytes(out, typ|3<<2|n<<4|size<<22, 5)
		}
		return append(out, packed...), true, nil
	case errors.Is(err, huff0.ErrUseRLE):
		return append(appendLiteralsSize(out, literalsRLE, n), lits[0]), true, nil
	case errors.Is(err, huff0.ErrIncompressible):
		if len(b.sequences) == 0 {
			return out, false, nil
		}
		return append(appendLiteralsSize(out, literalsRaw, n), lits...), true, nil
	}
	return nil, false, err
}

func appendLiteralsSize(out []byte, typ, n uint64) []byte {
	switch {
	case n < 1<<5:
		return appendBytes(out, typ|n<<3, 1)
	case n < 1<<12:
		return appendBytes(out, typ|1<<2|n<<4, 2)
	}
	return appendBytes(out, typ|3<<2|n<<4, 3)
}

func appendBytes(out []byte, v uint64, n int) []byte {
	for ; n > 0; n-- {
		out = append(out, byte(v))
		v >>= 8
	}
	return out
}

// sequences appends the section of sequences, section 3.1.1.3.2.
func (e *encoder) sequences(out []byte, b *block) []byte {
	n := len(b.sequences)
	switch {
	case n < 128:
		out = append(out, byte(n))
	case n < 0x7f00:
		out = append(out, byte(n>>8)+128, byte(n))
	default:
		out = append(out, 255, byte(n-0x7f00), byte((n-0x7f00)>>8))
	}
	if n == 0 {
		return out
	}
	e.translate(b.sequences)
	modes := len(out)
	out = append(out, 0)
	var tables [3]*table
	for i := range e.kinds {
		k := &e.kinds[i]
		k.mode, tables[i], out = k.choose(out, e.symbols[i])
		out[modes] |= k.mode << (6 - 2*i)
	}
	return e.stream(out, tables)
}

// Modes of a kind's table, section 3.1.1.3.2.1.
const (
	modeKnown, modeRLE, modeFresh, modeRepeat = 0, 1, 2, 3
)

// choose decides how the symbols of a kind are encoded, with which table; that is nil
// if all are the same. It appends what the decoder needs for that.
func (k *kind) choose(out []byte, symbols []uint8) (mode byte, t *table, _ []byte) {
	clear(k.count[:])
	most := uint8(0)
	for _, s := range symbols {
		k.count[s]++
		most = max(most, s)
	}
	count := k.count[:most+1]
	total := uint32(len(symbols))
	if count[most] == total {
		if total > 2 || k.known.cost(count) > 8*bit {
			return modeRLE, nil, append(out, most)
		}
		return modeKnown, k.known, out
	}
	known := k.known.cost(count)
	repeat := uint64(infinite)
	if k.valid {
		repeat = k.last.cost(count)
	}
	size := len(out)
	fresh := uint64(infinite)
	if total > 16 || min(known, repeat) == infinite {
		log := max(uint8(bits.Len32(total-1))-min(uint8(bits.Len32(total-1)), 3), 5, uint8(bits.Len8(most))+1)
		log = min(log, k.maxLog)
		normalize(k.norm[:len(count)], count, total, log)
		out = appendNorm(out, k.norm[:len(count)], log)
		k.fresh.norm, k.fresh.log = append(k.fresh.norm[:0], k.norm[:len(count)]...), log
		fresh = k.fresh.cost(count) + uint64(8*(len(out)-size))*bit
	}
	switch {
	case repeat <= known && repeat <= fresh:
		return modeRepeat, k.last, out[:size]
	case known <= fresh:
		return modeKnown, k.known, out[:size]
	}
	k.fresh.set(k.norm[:len(count)], k.fresh.log)
	return modeFresh, k.fresh, out
}

// translate turns sequences into symbols and the bits that go with them.
func (e *encoder) translate(sequences []sequence) {
	n := len(sequences)
	for i := range e.symbols {
		e.symbols[i] = resize(e.symbols[i], n)
	}
	e.extra, e.width = resize(e.extra, n), resize(e.width, n)
	ll, of, ml := e.symbols[0], e.symbols[1], e.symbols[2]
	for i, s := range sequences {
		offset := e.offset(s.literals, s.distance)
		length := s.match - minMatch
		l, o, m := codeOfLiterals(s.literals), uint8(bits.Len32(offset))-1, codeOfMatch(length)
		ll[i], of[i], ml[i] = l, o, m
		lb, mb := literalBits[l], matchBits[m]
		e.extra[i] = uint64(s.literals)&(1<<lb-1) | uint64(length)&(1<<mb-1)<<lb
		e.width[i] = lb + mb
		e.extra[i] |= uint64(offset) & (1<<o - 1) << (lb + mb)
	}
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/2)
	}
	return s[:n]
}

// offset returns what stands for a distance, section 3.1.1.3.2.1.1, and updates the
// recent ones, section 3.1.1.5.
func (e *encoder) offset(literals, distance uint32) uint32 {
	r := &e.recent
	switch {
	case literals > 0 && distance == r[0]:
		return 1
	case distance == r[1]:
		r[0], r[1] = r[1], r[0]
		if literals > 0 {
			return 2
		}
		return 1
	case distance == r[2]:
		r[0], r[1], r[2] = r[2], r[0], r[1]
		if literals > 0 {
			return 3
		}
		return 2
	case literals == 0 && distance == r[0]-1 && distance > 0:
		r[0], r[1], r[2] = distance, r[0], r[1]
		return 3
	}
	r[0], r[1], r[2] = distance, r[0], r[1]
	return distance + 3
}

// stream appends the bits of the sequences, the last one first: it is read backwards.
func (e *encoder) stream(out []byte, tables [3]*table) []byte {
	ll, of, ml := e.symbols[0], e.symbols[1], e.symbols[2]
	i := len(ll) - 1
	w := bitWriter{out: out}
	var states [3]uint32
	for k, t := range tables {
		if t != nil {
			states[k] = t.begin(e.symbols[k][i])
		}
	}
	e.bits(&w, i)
	lt, ot, mt := tables[0], tables[1], tables[2]
	for i--; i >= 0; i-- {
		if ot != nil {
			states[1] = ot.put(&w, states[1], of[i])
		}
		if mt != nil {
			states[2] = mt.put(&w, states[2], ml[i])
		}
		if lt != nil {
			states[0] = lt.put(&w, states[0], ll[i])
		}
		e.bits(&w, i)
	}
	for _, k := range []int{2, 1, 0} {
		if t := tables[k]; t != nil {
			w.add(uint64(states[k]), t.log)
		}
	}
	w.carry()
	return w.end()
}

// bits adds the bits of a sequence: of its literals, its match and its offset.
func (e *encoder) bits(w *bitWriter, i int) {
	lengths, offset := e.width[i], e.symbols[1][i]
	w.carry()
	w.add(e.extra[i], lengths)
	if lengths+offset > 48 {
		w.carry()
	}
	w.add(e.extra[i]>>lengths, offset)
	w.carry()
}

// commit makes the tables of this block those that the decoder has. One that it knew
// anyhow is not worth repeating.
func (e *encoder) commit() {
	for i := range e.kinds {
		switch k := &e.kinds[i]; k.mode {
		case modeFresh:
			k.last, k.fresh, k.valid = k.fresh, k.last, true
		case modeKnown, modeRLE:
			k.valid = false
		}
	}
}
