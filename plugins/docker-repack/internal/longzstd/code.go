package longzstd

import "math/bits"

// Codes of lengths and offsets, RFC 8878 section 3.1.1.3.2.1.1: a code stands for a
// range, whose members the bits after it tell apart.
const (
	literalCodes = 36
	matchCodes   = 53
	offsetCodes  = 32

	// maxLog bounds the logarithms of numbers of states.
	maxLog     = 9
	literalLog = 9
	matchLog   = 9
	offsetLog  = 8

	minMatch = 3 // of the format
)

var literalBits = [literalCodes]uint8{16: 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

var matchBits = [matchCodes]uint8{32: 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

var literalCode, matchCode = codes(literalBits[:], 64), codes(matchBits[:], 128)

// codes returns the codes of the first n values.
func codes(width []uint8, n int) []uint8 {
	out := make([]uint8, 0, n)
	for c := 0; len(out) < n; c++ {
		for range 1 << width[c] {
			if len(out) < n {
				out = append(out, uint8(c))
			}
		}
	}
	return out
}

// codeOfLiterals returns the code of a number of literals; the bits are those of the
// number itself.
func codeOfLiterals(n uint32) uint8 {
	if n < 64 {
		return literalCode[n]
	}
	return uint8(bits.Len32(n)) - 1 + 19
}

// codeOfMatch returns the code of the length of a match, less minMatch.
func codeOfMatch(n uint32) uint8 {
	if n < 128 {
		return matchCode[n]
	}
	return uint8(bits.Len32(n)) - 1 + 36
}

// The tables that both sides know, section 3.1.1.3.2.2.
var (
	literalNorm = []int16{
		4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1,
		2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
		-1, -1, -1, -1,
	}
	matchNorm = []int16{
		1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1,
		-1, -1, -1, -1, -1,
	}
	offsetNorm = []int16{
		1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
	}
	literalDefault = known(literalNorm, 6)
	matchDefault   = known(matchNorm, 6)
	offsetDefault  = known(offsetNorm, 5)
)

func known(norm []int16, log uint8) *table {
	t := new(table)
	t.set(norm, log)
	return t
}
