package longzstd

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// sample makes n bytes of words, noise, runs, records with counters, and copies from far
// away, some with a byte changed here and there.
func sample(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 3))
	words := make([][]byte, 1000)
	for i := range words {
		words[i] = make([]byte, 1+rng.IntN(14))
		for k := range words[i] {
			words[i][k] = byte('a' + rng.IntN(26))
		}
	}
	var out []byte
	for len(out) < n {
		switch k := rng.IntN(1 << rng.IntN(14)); rng.IntN(6) {
		case 0:
			for range k {
				out = append(out, byte(rng.IntN(256)))
			}
		case 1:
			out = append(out, bytes.Repeat([]byte{byte(rng.IntN(256))}, k)...)
		case 2:
			for i := range k / 16 {
				out = binary.LittleEndian.AppendUint64(out, uint64(i)*24)
				out = binary.BigEndian.AppendUint32(out, uint32(rng.IntN(300)))
			}
		case 3:
			if len(out) > 0 {
				from := rng.IntN(len(out))
				copied := bytes.Clone(out[from:min(len(out), from+8*k)])
				for range len(copied) >> (4 + rng.IntN(10)) {
					copied[rng.IntN(len(copied))]++
				}
				out = append(out, copied...)
			}
		default:
			for range k / 8 {
				out = append(append(out, words[rng.IntN(1+rng.IntN(len(words)))]...), ' ')
			}
		}
	}
	return out[:n]
}

func levels() []Options { return []Options{{}, {Deep: true}} }

// pack compresses raw in the pieces that cut makes.
func pack(t testing.TB, o Options, raw []byte, cut func(left int) (n int, flush bool)) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := NewWriter(&out, o)
	if err != nil {
		t.Fatal(err)
	}
	for len(raw) > 0 {
		n, flush := cut(len(raw))
		if m, err := z.Write(raw[:n]); m != n || err != nil {
			t.Fatal(m, err)
		}
		if raw = raw[n:]; flush {
			if err := z.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func whole(left int) (int, bool) { return left, false }

func unpack(t testing.TB, packed []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	raw, err := io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// What comes out, two decoders make what went in of: that of engines and libzstd's.
func TestDecoders(t *testing.T) {
	program, lookErr := exec.LookPath("zstd")
	for _, o := range levels() {
		for _, window := range []int{MinWindow, 1 << 20, 8 << 20} {
			o.Window = window
			for i, n := range []int{0, 1, 31, 32, 33, 1000, 1023, 1024, 5000, maxBlock - 1, maxBlock, maxBlock + 1, 300_000, 3_000_000} {
				raw := sample(uint64(i), n)
				packed := pack(t, o, raw, whole)
				if !bytes.Equal(unpack(t, packed), raw) {
					t.Errorf("%+v: %d bytes do not come back", o, n)
				}
				if lookErr != nil {
					continue
				}
				cmd := exec.CommandContext(t.Context(), program, "-d", "-q", "-c", "-M128MB")
				cmd.Stdin = bytes.NewReader(packed)
				if got, err := cmd.Output(); err != nil || !bytes.Equal(got, raw) {
					t.Errorf("%+v: zstd does not make %d bytes what they were: %v", o, n, err)
				}
			}
		}
	}
}

func TestFlushedAnywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 40 {
		o := levels()[i%2]
		o.Window = MinWindow << (i % 4)
		raw := sample(uint64(i), rng.IntN(1<<(8+i%14)))
		packed := pack(t, o, raw, func(left int) (int, bool) {
			return min(left, 1+rng.IntN(1<<rng.IntN(20))), rng.IntN(3) == 0
		})
		if !bytes.Equal(unpack(t, packed), raw) {
			t.Errorf("%+v: %d bytes do not come back", o, len(raw))
		}
	}
}

// Sizes of writes do not matter, and a writer that is used again is as good as new.
func TestSameBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	raw := sample(7, 2_000_000)
	for _, o := range levels() {
		o.Window = 1 << 20
		want := pack(t, o, raw, whole)
		got := pack(t, o, raw, func(left int) (int, bool) { return min(left, 1+rng.IntN(200_000)), false })
		if !bytes.Equal(got, want) {
			t.Errorf("%+v: pieces give other bytes", o)
		}
		var out bytes.Buffer
		z, err := NewWriter(io.Discard, o)
		if err != nil {
			t.Fatal(err)
		}
		z.Write(raw[:1_500_000])
		z.Repeat(100_000, 1000)
		z.Reset(&out)
		z.Write(raw)
		if err := z.Close(); err != nil || !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%+v: used again, it gives other bytes (%v)", o, err)
		}
	}
}

// A copy costs next to nothing as long as the window reaches it, and one with a byte
// changed every few thousand little more.
func TestLongDistances(t *testing.T) {
	const n = 3 << 20
	rng := rand.New(rand.NewPCG(3, 1))
	noise := make([]byte, n)
	for i := range noise {
		noise[i] = byte(rng.IntN(256))
	}
	changed := bytes.Clone(noise)
	for i := 0; i < n; i += 4000 {
		changed[i]++
	}
	for _, o := range levels() {
		o.Window = 4 << 20
		for name, tt := range map[string]struct {
			raw []byte
			max int
		}{
			"once":    {noise, n + n/1000},
			"twice":   {append(bytes.Clone(noise), noise...), n + n/1000},
			"alike":   {append(bytes.Clone(noise), changed...), n + n/100},
			"shifted": {append(append(bytes.Clone(noise), "abc"...), noise[777:]...), n + n/1000},
		} {
			packed := pack(t, o, tt.raw, whole)
			if len(packed) > tt.max {
				t.Errorf("%+v, %s: %d bytes, more than %d", o, name, len(packed), tt.max)
			}
			if !bytes.Equal(unpack(t, packed), tt.raw) {
				t.Errorf("%+v, %s: does not come back", o, name)
			}
		}
	}
}

// What the history has no more can still be repeated, from anywhere to anywhere.
func TestRepeat(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	for i := range 12 {
		o := levels()[i%2]
		o.Window = MinWindow
		o.Reach = 5 << 20
		var raw, out bytes.Buffer
		z, err := NewWriter(&out, o)
		if err != nil {
			t.Fatal(err)
		}
		write := func(p []byte) {
			raw.Write(p)
			for len(p) > 0 {
				k := min(len(p), 1+rng.IntN(300_000))
				if _, err := z.Write(p[:k]); err != nil {
					t.Fatal(err)
				}
				p = p[k:]
				if rng.IntN(10) == 0 {
					z.Flush()
				}
			}
		}
		write(sample(uint64(i), 1<<20))
		fresh := raw.Len()
		for range 10 {
			n := 1 + rng.IntN(1<<(1+rng.IntN(20)))
			distance := n + rng.IntN(raw.Len()-n+1)
			from := raw.Len() - distance
			z.Repeat(int64(n), int64(distance))
			write(bytes.Clone(raw.Bytes()[from : from+n]))
			write(sample(uint64(i*100+n), rng.IntN(1000)))
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(unpack(t, out.Bytes()), raw.Bytes()) {
			t.Errorf("%+v: %d bytes do not come back", o, raw.Len())
		}
		if got := libzstd(t, out.Bytes()); got != nil && !bytes.Equal(got, raw.Bytes()) {
			t.Errorf("%+v: zstd does not make %d bytes what they were", o, raw.Len())
		}
		if most := len(pack(t, o, raw.Bytes()[:fresh], whole)) + 30_000; out.Len() > most {
			t.Errorf("%+v: %d bytes with all repetitions, more than %d", o, out.Len(), most)
		}
	}
}

// Noise is stored as it is.
func TestNoise(t *testing.T) {
	raw := make([]byte, 1_000_000)
	rng := rand.New(rand.NewPCG(5, 1))
	for i := range raw {
		raw[i] = byte(rng.IntN(256))
	}
	for _, o := range levels() {
		o.Window = 1 << 20
		if n := len(pack(t, o, raw, whole)); n > len(raw)+100 {
			t.Errorf("%+v: %d bytes of noise take %d", o, len(raw), n)
		}
	}
}

// Positions begin again before they no longer fit into the tables.
func TestPositionsBeginAgain(t *testing.T) {
	raw := sample(9, 3<<20)
	for _, o := range levels() {
		o.Window = 256 << 10
		var out bytes.Buffer
		z, err := NewWriter(&out, o)
		if err != nil {
			t.Fatal(err)
		}
		z.base = lastBase - 1<<20
		z.Write(raw)
		if err := z.Close(); err != nil || !bytes.Equal(unpack(t, out.Bytes()), raw) {
			t.Errorf("%+v: does not come back (%v)", o, err)
		}
		if z.base > lastBase/2 {
			t.Errorf("%+v: positions go on at %d", o, z.base)
		}
	}
}

// Where positions pass what a spot can tell, nothing changes.
func TestSpotsWrap(t *testing.T) {
	raw := sample(9, 3<<20)
	for _, o := range levels() {
		o.Window = 256 << 10
		want := pack(t, o, raw, whole)
		var out bytes.Buffer
		z, err := NewWriter(&out, o)
		if err != nil {
			t.Fatal(err)
		}
		z.base = 1<<spotBits - 1<<20
		z.Write(raw)
		if err := z.Close(); err != nil || !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%+v: %d bytes, %d if positions are small (%v)", o, out.Len(), len(want), err)
		}
	}
}

// The output is the same on all machines, and changes only when somebody means it to: digests
// of images depend on it.
func TestOutputIsPinned(t *testing.T) {
	h := sha256.New()
	binary.Write(h, binary.BigEndian, log2[:])
	if got := hex.EncodeToString(h.Sum(nil))[:16]; got != "f373e895502d5603" {
		t.Errorf("the logarithms have digest %s", got)
	}
	raw := sample(7, 3<<20)
	for i, o := range levels() {
		o.Window = 1 << 20
		sum := sha256.Sum256(pack(t, o, raw, whole))
		if got, want := hex.EncodeToString(sum[:])[:16], []string{"8e1353896a7b1d97", "8b936dbc4d38d82e"}[i]; got != want {
			t.Errorf("%+v: the output has digest %s, want %s", o, got, want)
		}
	}
}

type failing struct{ left int }

var errFull = errors.New("full")

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestErrors(t *testing.T) {
	for _, o := range []Options{{}, {Window: 1000}, {Window: MaxWindow * 2}, {Window: 3 << 20}, {Window: 1 << 20, Reach: MaxWindow + 1}, {Window: 1 << 20, Reach: -1}} {
		if _, err := NewWriter(io.Discard, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	for _, room := range []int{0, 3, 100_000} {
		z, err := NewWriter(&failing{room}, Options{Window: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		var last error
		for i := range 100 {
			if _, last = z.Write(sample(uint64(i), 100_000)); last != nil {
				break
			}
		}
		if !errors.Is(last, errFull) || !errors.Is(z.Flush(), errFull) || !errors.Is(z.Close(), errFull) {
			t.Errorf("room for %d bytes: %v", room, last)
		}
	}
	z, _ := NewWriter(io.Discard, Options{Window: 1 << 20})
	if err := errors.Join(z.Close(), z.Close()); err != nil {
		t.Error(err)
	}
	if _, err := z.Write([]byte("x")); err == nil {
		t.Error("a closed writer writes")
	}
}

// The window of the frame is the least that both window and reach fit in.
func TestHeader(t *testing.T) {
	for want, got := range map[uint64]uint64{
		1 << 20: 1 << 20, 64 << 20: 64 << 20, 64<<20 + 8<<20: 64<<20 + 1, 160 << 20: 158 << 20, 128 << 20: 127 << 20,
	} {
		var h zstd.Header
		if err := h.Decode(append(header(got), 1, 0, 0)); err != nil || h.WindowSize != want {
			t.Errorf("%d: window %d (%v), want %d", got, h.WindowSize, err, want)
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	raw := sample(1, 32<<20)
	for _, o := range levels() {
		o.Window = 64 << 20
		b.Run(fmt.Sprintf("deep=%t", o.Deep), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			n := 0
			for b.Loop() {
				n = len(pack(b, o, raw, whole))
			}
			b.ReportMetric(float64(len(raw))/float64(n), "ratio")
		})
	}
}

// Who tells of copies that overlap, or of what was before the beginning, does no harm.
func TestRepeatOddly(t *testing.T) {
	content := sample(21, 400_000)
	for _, o := range levels() {
		o.Window, o.Reach = MinWindow, 4<<20
		var raw, out bytes.Buffer
		z, err := NewWriter(&out, o)
		if err != nil {
			t.Fatal(err)
		}
		w := io.MultiWriter(z, &raw)
		w.Write(content)
		z.Repeat(100_000, 400_001) // there is no such byte
		z.Repeat(1<<40, 1<<40)
		w.Write(content)
		for _, told := range [][2]int64{{100_000, 400_000}, {400_000, 800_000}, {5000, 400_000}, {400_000, 400_000}} {
			z.Repeat(told[0], told[1])
		}
		w.Write(content[:60_000])
		z.Flush()
		z.Repeat(30_000, 400_000)
		w.Write(content[60_000:70_000])
		z.Repeat(330_000, 800_000)
		w.Write(content[70_000:])
		// A run is a copy of itself.
		w.Write([]byte("x"))
		z.Repeat(1_000_000, 1)
		w.Write(bytes.Repeat([]byte("x"), 1_000_000))
		z.Repeat(1_000_000, 1) // nothing comes of it
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(unpack(t, out.Bytes()), raw.Bytes()) {
			t.Errorf("%+v: does not come back", o)
		}
	}
}
