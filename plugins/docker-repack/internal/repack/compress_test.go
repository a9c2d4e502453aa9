package repack

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// text makes n bytes that compress about as files do: words, and runs that come
// again from far away.
func text(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	words := make([][]byte, 4000)
	for i := range words {
		words[i] = make([]byte, 2+rng.IntN(12))
		for k := range words[i] {
			words[i][k] = byte('a' + rng.IntN(26))
		}
	}
	out := make([]byte, 0, n+1<<16)
	for len(out) < n {
		if rng.IntN(2000) == 0 && len(out) > 1<<17 {
			from := rng.IntN(len(out) - 1<<16)
			out = append(out, out[from:from+rng.IntN(1<<16)]...)
			continue
		}
		out = append(append(out, words[int(float64(len(words))*rng.Float64()*rng.Float64())]...), ' ')
	}
	return out[:n]
}

func compressed(t testing.TB, c codec, raw []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := c.open(&out, stream{raw: int64(len(raw))})
	if err == nil {
		_, err = z.Write(raw)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCodecsAreDeterministicAndReversible(t *testing.T) {
	raw := text(1, 2<<20)
	for _, compression := range Compressions {
		for _, level := range Levels {
			c, err := newCodec(compression, level)
			if err != nil {
				t.Fatal(err)
			}
			want := sha256.Sum256(compressed(t, c, raw))
			compressed(t, c, raw[:1000]) // an encoder that has done something else
			previous := runtime.GOMAXPROCS(1)
			got := sha256.Sum256(compressed(t, c, raw))
			runtime.GOMAXPROCS(previous)
			if got != want {
				t.Errorf("%s %s: used again, on one processor, the encoder gives other bytes", compression, level)
			}
		}
	}
}

func TestWindowFitsTheContent(t *testing.T) {
	c, err := newCodec("zstd", "balanced")
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]uint64{200 << 10: 1 << 20, 1 << 20: 1 << 20, 1<<20 + 1: 2 << 20, 3 << 20: 4 << 20, 100 << 20: 64 << 20} {
		raw := bytes.Repeat(text(2, 1<<20), size>>20+1)[:size]
		packed := compressed(t, c, raw)
		var h zstd.Header
		if err := h.Decode(packed); err != nil || h.WindowSize != want {
			t.Errorf("%d bytes: window %d (%v), want %d", size, h.WindowSize, err, want)
		}
		d, err := zstd.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%d bytes do not come back (%v)", size, err)
		}
		d.Close()
	}
}

func BenchmarkCompress(b *testing.B) {
	raw := text(3, 32<<20)
	for _, level := range Levels {
		b.Run(level, func(b *testing.B) {
			c, err := newCodec("zstd", level)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(raw)))
			n := 0
			for b.Loop() {
				n = len(compressed(b, c, raw))
			}
			b.ReportMetric(float64(len(raw))/float64(n), "ratio")
		})
	}
}

func ExampleOptions_Validate() {
	fmt.Println(Options{Level: "most"}.Validate())
	// Output: compression level "most" is not one of [balanced fast max]
}
