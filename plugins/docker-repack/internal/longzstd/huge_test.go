package longzstd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// A generated stream is some content again and again, each time with other counters in
// it and from another place on, so that matches are found at all distances.
type generated struct {
	content []byte
	rng     *rand.Rand
	left    int64
	piece   []byte
}

func generate(n int64) *generated {
	return &generated{content: sample(11, 48<<20), rng: rand.New(rand.NewPCG(12, 1)), left: n}
}

func (g *generated) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	if len(g.piece) == 0 {
		at := g.rng.IntN(len(g.content) - 1<<20)
		g.piece = g.content[at : at+1+g.rng.IntN(1<<20)]
		for range len(g.piece) >> 17 {
			binary.LittleEndian.PutUint64(g.piece[g.rng.IntN(len(g.piece)-8):], uint64(g.left))
		}
	}
	n := copy(p[:min(int64(len(p)), g.left)], g.piece)
	g.piece, g.left = g.piece[n:], g.left-int64(n)
	return n, nil
}

// Streams of which positions do not fit into 31, nor 32 bits, come back.
func TestHuge(t *testing.T) {
	if os.Getenv("LONGZSTD_HUGE") == "" {
		t.Skip("set LONGZSTD_HUGE=1")
	}
	const size = 5 << 30
	for _, o := range levels() {
		o.Window = 64 << 20
		t.Run(fmt.Sprintf("deep=%t", o.Deep), func(t *testing.T) {
			r, w := io.Pipe()
			var packed counting
			go func() {
				z, err := NewWriter(io.MultiWriter(w, &packed), o)
				if err == nil {
					_, err = io.CopyBuffer(struct{ io.Writer }{z}, generate(size), make([]byte, 1<<20))
				}
				if err == nil {
					err = z.Close()
				}
				w.CloseWithError(err)
			}()
			d, err := zstd.NewReader(r)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if n, err := sameStream(d, generate(size)); err != nil {
				t.Fatalf("after %d bytes: %v", n, err)
			}
			t.Logf("%d bytes take %d", int64(size), packed)
		})
	}
}

// Distances may be as large as the largest window, which takes codes of offsets that the
// predefined table has not.
func TestFarthest(t *testing.T) {
	if os.Getenv("LONGZSTD_HUGE") == "" {
		t.Skip("set LONGZSTD_HUGE=1")
	}
	for _, o := range levels() {
		o.Window, o.Reach = 1<<20, MaxWindow
		raw := sample(71, MaxWindow/8)
		for range 3 {
			raw = append(raw, raw...)
		}
		again := raw[:3<<20]
		var out bytes.Buffer
		z, err := NewWriter(&out, o)
		if err != nil {
			t.Fatal(err)
		}
		z.Write(raw)
		z.Repeat(int64(len(again)), MaxWindow)
		z.Write(again)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		raw = append(raw, again...)
		if !bytes.Equal(unpack(t, out.Bytes()), raw) {
			t.Errorf("%+v: does not come back", o)
		}
		if got := libzstd(t, out.Bytes()); got != nil && !bytes.Equal(got, raw) {
			t.Errorf("%+v: zstd does not make it what it was", o)
		}
	}
}

type counting int64

func (c *counting) Write(p []byte) (int, error) {
	*c += counting(len(p))
	return len(p), nil
}

// sameStream reads both to the end, and returns how far they are the same.
func sameStream(got, want io.Reader) (n int64, err error) {
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		k, wantErr := io.ReadFull(want, b)
		if m, err := io.ReadFull(got, a[:k]); err != nil && !errors.Is(err, io.EOF) {
			return n + int64(m), err
		}
		if string(a[:k]) != string(b[:k]) {
			return n, errors.New("they differ")
		}
		n += int64(k)
		if wantErr != nil {
			if m, _ := got.Read(a[:1]); m != 0 {
				return n, errors.New("it goes on")
			}
			return n, nil
		}
	}
}
