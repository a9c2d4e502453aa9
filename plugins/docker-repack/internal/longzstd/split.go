package longzstd

import "math/bits"

// The symbols of a block share tables. Where the content changes, two blocks with tables
// of their own take less, although tables and headers cost something as well. So a block is
// counted in pieces, of which neighbours are joined as long as that saves something.

const (
	// pieceSize is about how many bytes a piece stands for.
	pieceSize = 8 << 10
	// partCost is about what a part takes beside its tables, in parts of a bit.
	partCost = 14 * 8 * bit
	// symbolCost is about what a table takes for each of its symbols.
	symbolCost = 4 * bit
)

// alphabets is where in a census the symbols of each kind begin: literals, lengths of
// literals, offsets, lengths of matches.
var alphabets = [...]int{0, 256, 256 + literalCodes, 256 + literalCodes + offsetCodes, 256 + literalCodes + offsetCodes + matchCodes}

// A census counts the symbols of some sequences.
type census [256 + literalCodes + offsetCodes + matchCodes]uint32

// A piece is some sequences of a block.
type piece struct {
	census
	end    int    // index of the sequence after them
	cost   uint64 // about, in parts of a bit
	joined uint64 // of this piece and the next one together; 0 if that is not known
}

// split returns the parts of a block that are to be blocks of their own, in order.
func (e *encoder) split(b *block) []block {
	e.count(b)
	pieces := e.pieces
	for len(pieces) > 1 {
		best, most := -1, int64(0)
		for i := range pieces[:len(pieces)-1] {
			p, next := &pieces[i], &pieces[i+1]
			if p.joined == 0 {
				p.joined = p.costWith(&next.census)
			}
			if saved := int64(p.cost+next.cost) - int64(p.joined); saved >= most {
				best, most = i, saved
			}
		}
		if best < 0 {
			break
		}
		p, next := &pieces[best], &pieces[best+1]
		for i, n := range next.census {
			p.census[i] += n
		}
		p.end, p.cost, p.joined = next.end, p.joined, 0
		if best > 0 {
			pieces[best-1].joined = 0
		}
		pieces = append(pieces[:best+1], pieces[best+2:]...)
	}
	e.parts = e.parts[:0]
	left := *b
	for i := range pieces {
		part := left
		if i < len(pieces)-1 {
			n := pieces[i].end - (len(b.sequences) - len(left.sequences))
			part.sequences = left.sequences[:n]
			var literals, raw uint32
			for _, s := range part.sequences {
				literals, raw = literals+s.literals, raw+s.literals+s.match
			}
			part.literals, part.raw, part.last = left.literals[:literals], left.raw[:raw], false
			left.sequences, left.literals, left.raw = left.sequences[n:], left.literals[literals:], left.raw[raw:]
		}
		e.parts = append(e.parts, part)
	}
	return e.parts
}

// count makes the pieces of a block.
func (e *encoder) count(b *block) {
	e.pieces = append(e.pieces[:0], piece{})
	p := &e.pieces[0]
	if len(b.raw) < 2*pieceSize {
		return
	}
	recent, literals, raw := e.recent, b.literals, 0
	for i, s := range b.sequences {
		if raw >= pieceSize {
			p.cost = p.costWith(new(census))
			e.pieces = append(e.pieces, piece{})
			p, raw = &e.pieces[len(e.pieces)-1], 0
		}
		for _, c := range literals[:s.literals] {
			p.census[c]++
		}
		literals = literals[s.literals:]
		p.census[alphabets[1]+int(codeOfLiterals(s.literals))]++
		p.census[alphabets[3]+int(codeOfMatch(s.match-minMatch))]++
		offset := 1
		switch s.distance {
		case recent[0]:
		case recent[1]:
			recent[0], recent[1] = recent[1], recent[0]
		default:
			offset = bits.Len32(s.distance+3) - 1
			recent = [3]uint32{s.distance, recent[0], recent[1]}
		}
		p.census[alphabets[2]+offset]++
		p.end = i + 1
		raw += int(s.literals + s.match)
	}
	for _, c := range literals {
		p.census[c]++
	}
	p.cost = p.costWith(new(census))
}

// costWith returns about what the symbols of two censuses take together, in parts of a bit.
func (c *census) costWith(d *census) uint64 {
	sum := uint64(partCost)
	for k, start := range alphabets[:4] {
		var total uint32
		var logs, tables uint64
		for i := start; i < alphabets[k+1]; i++ {
			if n := c[i] + d[i]; n > 0 {
				total += n
				logs += uint64(n) * logOf(n)
				tables += symbolCost
			}
		}
		if total == 0 {
			continue
		}
		cost := uint64(total)*logOf(total) - logs + tables
		if k == 0 {
			cost = min(cost, 8*bit*uint64(total))
		}
		sum += cost
	}
	return sum
}

// logOf is about the logarithm of n, in parts of a bit.
func logOf(n uint32) uint64 {
	over := max(bits.Len32(n)-maxLog, 0)
	return log2[n>>over] + uint64(over)*bit
}
