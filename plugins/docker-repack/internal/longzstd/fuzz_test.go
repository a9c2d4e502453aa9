package longzstd

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// A bench has a writer of each level and a decoder, for many streams.
type bench struct {
	near, deep *Writer
	decoder    *zstd.Decoder
}

func newBench(f *testing.F) *bench {
	f.Helper()
	var b bench
	var err error
	if b.near, err = NewWriter(io.Discard, Options{Window: MinWindow, Reach: 4 << 20}); err != nil {
		f.Fatal(err)
	}
	if b.deep, err = NewWriter(io.Discard, Options{Window: MinWindow, Reach: 4 << 20, Deep: true}); err != nil {
		f.Fatal(err)
	}
	if b.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1)); err != nil {
		f.Fatal(err)
	}
	return &b
}

// check writes a stream and reads it.
func (b *bench) check(t *testing.T, deep bool, write func(z *Writer) (raw []byte)) {
	t.Helper()
	z := b.near
	if deep {
		z = b.deep
	}
	var out bytes.Buffer
	z.Reset(&out)
	raw := write(z)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := b.decoder.DecodeAll(out.Bytes(), nil)
	if err != nil || !bytes.Equal(got, raw) {
		t.Fatalf("deep %t: %d bytes do not come back (%v)", deep, len(raw), err)
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("some some some text text"), uint16(3), true)
	f.Add(sample(1, 5000), uint16(40), false)
	b := newBench(f)
	f.Fuzz(func(t *testing.T, unit []byte, times uint16, deep bool) {
		// Repeated with changes, so that there is something to find.
		var raw []byte
		for i := range int(times)%512 + 1 {
			raw = append(raw, unit...)
			if len(unit) > 0 {
				raw[len(raw)-1-i%len(unit)] += byte(i)
			}
			if len(raw) > 1<<20 {
				break
			}
		}
		b.check(t, deep, func(z *Writer) []byte {
			for p := raw; len(p) > 0; {
				n := min(len(p), 1+int(times)*7)
				z.Write(p[:n])
				if p = p[n:]; times%5 == 0 {
					z.Flush()
				}
			}
			return raw
		})
	})
}

// FuzzSteps takes its input for a list of steps of five bytes: what to do, with how much,
// from where.
func FuzzSteps(f *testing.F) {
	noise := sample(31, 64<<10)
	f.Add([]byte("\x00\xff\x00\x00\x00\x02\xff\x00\x10\x00\x03\x00\x00\x00\x00\x06\xff\xff\x00\x01\x04\x00\x10\x00\x00"), false)
	f.Add([]byte("\x00\x00\x80\x00\x00\x02\x00\x70\x00\x80\x02\x00\x70\x00\x80\x03\x00\x00\x00\x00\x12\xff\xff\x00\xff\x05\x00\x40\x01\x00"), true)
	f.Add(bytes.Repeat([]byte("\x00\x00\x80\x00\x00\x01\xff\xff\x07\x00\x02\x00\xf0\x00\x70\x06\x40\x00\x20\x00"), 8), true)
	b := newBench(f)
	f.Fuzz(func(t *testing.T, steps []byte, deep bool) {
		b.check(t, deep, func(z *Writer) (raw []byte) {
			write := func(p []byte) {
				z.Write(p)
				raw = append(raw, p...)
			}
			for ; len(steps) >= 5 && len(raw) < 1<<20; steps = steps[5:] {
				n, at := int(binary.LittleEndian.Uint16(steps[1:])), int(binary.LittleEndian.Uint16(steps[3:]))
				switch what := steps[0]; what & 7 {
				case 0: // something new
					write(noise[at%len(noise) : min(len(noise), at%len(noise)+n)])
				case 1: // a run, or a short cycle
					write(bytes.Repeat(noise[at%1000:at%1000+1+at>>13], n))
				case 2, 3, 4: // a copy of what lies far back, of which the writer is told, and of half of it again
					if distance := 1 + at*(1+int(what>>3)); distance <= len(raw) {
						z.Repeat(int64(n), int64(distance))
						for i := range n {
							if what&7 == 4 && i == n/2 {
								z.Repeat(int64(n-i), int64(distance))
							}
							c := raw[len(raw)-distance]
							z.Write([]byte{c})
							raw = append(raw, c)
						}
					}
				case 5: // copies that it has to find, with a byte changed
					if at < len(raw) {
						p := bytes.Clone(raw[at:min(len(raw), at+n)])
						if len(p) > 0 {
							p[len(p)/2] ^= what >> 3
						}
						write(p)
					}
				case 6:
					z.Flush()
				case 7: // what is not to count, for it is before the beginning
					z.Repeat(int64(n), int64(len(raw)+1+at))
				}
			}
			return raw
		})
	})
}
