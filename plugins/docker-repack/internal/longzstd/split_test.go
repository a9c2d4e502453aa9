package longzstd

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// A block is cut where its content changes, and nowhere else.
func TestSplitWhereContentChanges(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 16))
	// A stretch of n bytes: literals of an alphabet, between matches of one distance.
	add := func(b *block, n int, from, alphabet byte, distance uint32) {
		for end := len(b.raw) + n; len(b.raw) < end; {
			s := sequence{literals: uint32(8 + rng.IntN(8)), match: uint32(4 + rng.IntN(4)), distance: distance}
			for range s.literals {
				c := from + byte(rng.IntN(int(alphabet)))
				b.raw, b.literals = append(b.raw, c), append(b.literals, c)
			}
			for range s.match {
				b.raw = append(b.raw, b.raw[len(b.raw)-int(distance)])
			}
			b.sequences = append(b.sequences, s)
		}
	}
	start := &block{raw: sample(9, 5000)}
	start.literals = start.raw
	for name, c := range map[string]struct {
		make func(b *block)
		want []int // about where parts begin
	}{
		"one kind": {func(b *block) { add(b, 120_000, 'a', 20, 100) }, []int{0}},
		"two kinds": {func(b *block) {
			add(b, 50_000, 'a', 20, 100)
			add(b, 70_000, 128, 100, 3000)
		}, []int{0, 50_000}},
		"three kinds": {func(b *block) {
			add(b, 40_000, 'a', 20, 100)
			add(b, 40_000, 128, 100, 3000)
			add(b, 40_000, '0', 10, 7)
		}, []int{0, 40_000, 80_000}},
		"a little of another kind": {func(b *block) {
			add(b, 60_000, 'a', 20, 100)
			add(b, 1000, 128, 100, 3000)
			add(b, 59_000, 'a', 20, 100)
		}, []int{0, 60_000}},
		"too little": {func(b *block) {
			add(b, pieceSize-50, 'a', 20, 100)
			add(b, pieceSize-50, 128, 100, 3000)
		}, []int{0}},
		"nothing but literals": {func(b *block) { b.raw = sample(10, 100_000); b.literals = b.raw }, []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &block{raw: bytes.Clone(start.raw), last: true}
			c.make(b)
			if b.raw = b.raw[len(start.raw)*min(1, len(b.sequences)):]; len(b.raw) > maxBlock {
				t.Fatalf("%d bytes", len(b.raw))
			}
			e := newEncoder()
			packed := append(header(1<<20), encoded(t, e, start)...)
			parts := e.split(b)
			// A piece that has something of both may be a part of its own.
			if len(parts) < len(c.want) || len(parts) > 2*len(c.want)-1 {
				t.Fatalf("%d parts for %d kinds", len(parts), len(c.want))
			}
			at, sequences, literals := 0, 0, 0
			for i, p := range parts {
				if !slices.ContainsFunc(c.want, func(want int) bool { return max(at-want, want-at) <= pieceSize+50 }) {
					t.Errorf("part %d begins at %d, want about %d", i, at, c.want)
				}
				if p.last != (i == len(parts)-1) {
					t.Errorf("part %d of %d: last is %v", i, len(parts), p.last)
				}
				at, sequences, literals = at+len(p.raw), sequences+len(p.sequences), literals+len(p.literals)
			}
			if at != len(b.raw) || sequences != len(b.sequences) || literals != len(b.literals) {
				t.Errorf("the parts have %d bytes, %d sequences and %d literals of %d, %d and %d", at, sequences, literals, len(b.raw), len(b.sequences), len(b.literals))
			}
			whole := newEncoder()
			encoded(t, whole, start)
			if err := whole.append(b); err != nil {
				t.Fatal(err)
			}
			cut := encoded(t, e, b)
			if len(cut) > len(whole.out) || len(c.want) > 1 && len(cut) > len(whole.out)*99/100 {
				t.Errorf("%d bytes in parts, %d as a whole", len(cut), len(whole.out))
			}
			want := append(bytes.Clone(start.raw), b.raw...)
			packed = append(packed, cut...)
			if !bytes.Equal(unpack(t, packed), want) {
				t.Error("the parts do not come back")
			}
			if got := libzstd(t, packed); got != nil && !bytes.Equal(got, want) {
				t.Error("zstd does not read the parts")
			}
		})
	}
}

// The logarithms of large numbers are as good as those of small ones.
func TestLogOf(t *testing.T) {
	for n := uint32(1); n < 1<<18; n += 1 + n/64 {
		got, want := logOf(n), logOf(n*2)
		if d := int64(want - got - bit); d > bit/64 || d < -bit/64 {
			t.Errorf("of %d %d, of twice as many %d", n, got, want)
		}
	}
}
