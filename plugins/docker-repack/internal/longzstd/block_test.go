package longzstd

import (
	"bytes"
	"math/rand/v2"
	"os/exec"
	"slices"
	"testing"
)

// libzstd is what the program zstd makes of a stream; nil if there is none.
func libzstd(t *testing.T, packed []byte) []byte {
	t.Helper()
	program, err := exec.LookPath("zstd")
	if err != nil {
		return nil
	}
	cmd := exec.CommandContext(t.Context(), program, "-d", "-q", "-c", "--long=31")
	cmd.Stdin = bytes.NewReader(packed)
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("zstd: %v", err)
	}
	return append([]byte{}, raw...)
}

// Whatever blocks have followed one another, with however many sequences of however few or
// many kinds, both decoders read the next one.
func TestBlocksOfAllKinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 1))
	upTo := func(n int) int { return rng.IntN(1 + rng.IntN(n)) }
	var modes [3][4]int
	for range 20 {
		e := newEncoder()
		packed := header(8 << 20)
		raw := sample(rng.Uint64(), 100) // where matches begin
		packed = append(packed, encoded(t, e, &block{raw: raw, literals: raw})...)
		var alphabet, alike, longest, most int
		for n := range 30 {
			b := &block{last: n == 29}
			start := len(raw)
			if n == 0 || rng.IntN(3) == 0 { // else it is like the last one
				alphabet, alike, longest, most = 1+upTo(256), rng.IntN(3), 1<<rng.IntN(17), 1<<rng.IntN(17)
			}
			s := sequence{uint32(upTo(20)), uint32(minMatch + upTo(1<<rng.IntN(16))), uint32(1 + rng.IntN(start))}
			for len(b.sequences) < most {
				if alike == 0 || alike == 1 && rng.IntN(100) == 0 {
					s = sequence{uint32(upTo(longest)), uint32(minMatch + upTo(longest)), uint32(1 + rng.IntN(1+rng.IntN(len(raw))))}
				}
				if rng.IntN(1000) == 0 { // as many as fit
					s.literals, s.match = 0, minMatch
				}
				if len(raw)-start+int(s.literals+s.match) > maxBlock {
					break
				}
				for range s.literals {
					c := byte(upTo(alphabet))
					raw, b.literals = append(raw, c), append(b.literals, c)
				}
				for range s.match {
					raw = append(raw, raw[len(raw)-int(s.distance)])
				}
				b.sequences = append(b.sequences, s)
			}
			for range min(upTo(2000), maxBlock-(len(raw)-start)) {
				c := byte(upTo(alphabet))
				raw, b.literals = append(raw, c), append(b.literals, c)
			}
			b.raw = raw[start:]
			packed = append(packed, encoded(t, e, b)...)
			for i, k := range e.kinds {
				modes[i][k.mode]++
			}
		}
		if !bytes.Equal(unpack(t, packed), raw) {
			t.Fatalf("%d bytes do not come back", len(raw))
		}
		if got := libzstd(t, packed); got != nil && !bytes.Equal(got, raw) {
			t.Fatalf("zstd does not make %d bytes what they were", len(raw))
		}
	}
	for i, counts := range modes {
		if slices.Contains(counts[:], 0) {
			t.Errorf("kind %d has not had all modes: %d", i, counts)
		}
	}
}

func encoded(t *testing.T, e *encoder, b *block) []byte {
	t.Helper()
	out, err := e.encode(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A block has up to 43690 sequences.
func TestAsManySequencesAsFit(t *testing.T) {
	for _, n := range []int{127, 128, 0x7eff, 0x7f00, 0x7f01, maxBlock / minMatch} {
		e := newEncoder()
		first := sample(61, 50_000)
		packed := append(header(1<<20), encoded(t, e, &block{raw: first, literals: first})...)
		raw := bytes.Clone(first)
		b := &block{last: true}
		for i := range n {
			d := 3 + i*7%40_000
			b.sequences = append(b.sequences, sequence{0, minMatch, uint32(d)})
			raw = append(raw, raw[len(raw)-d:len(raw)-d+minMatch]...)
		}
		b.raw = raw[len(first):]
		// What all of them take is more than what they stand for: ask for them nevertheless.
		out, ok, err := e.compress([]byte{0, 0, 0}, b)
		if size := len(out) - 3; err == nil && ok && size <= maxBlock {
			h := size<<3 | blockCompressed<<1 | 1
			out[0], out[1], out[2] = byte(h), byte(h>>8), byte(h>>16)
			packed = append(packed, out...)
		} else {
			t.Fatalf("%d sequences: %d bytes, %v", n, size, err)
		}
		if !bytes.Equal(unpack(t, packed), raw) {
			t.Errorf("%d sequences do not come back", n)
		}
		if got := libzstd(t, packed); got != nil && !bytes.Equal(got, raw) {
			t.Errorf("zstd does not make %d sequences what they were", n)
		}
	}
}
