package chunk_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
)

// Other writers may make frames as they like: the specification only says what they decode to.
func TestForeignFrames(t *testing.T) {
	var raw []byte
	var wanted []chunk.Wanted
	for i := range 9 {
		data := append(noise(uint64(i), 100_000), bytes.Repeat([]byte{byte(i)}, 700_000)...)
		wanted = append(wanted, chunk.Wanted{ID: chunk.Sum(data), Offset: int64(len(raw)), Size: len(data)})
		raw = append(raw, data...)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithWindowSize(4<<20))
	if err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer // its frame does not say how big it is
	encoder.Reset(&stream)
	if _, err := encoder.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := encoder.Close(); err != nil {
		t.Fatal(err)
	}
	frame := func(data []byte) []byte { return encoder.EncodeAll(data, nil) }
	skipped := []byte{0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}
	third := wanted[3].Offset
	for name, blob := range map[string][]byte{
		"one of unknown size":     stream.Bytes(),
		"a big one":               frame(raw),
		"of whole chunks":         slices.Concat(frame(raw[:third]), frame(raw[third:])),
		"of parts of chunks":      slices.Concat(frame(raw[:third]), frame(raw[third:third+5]), frame(raw[third+5:])),
		"one that is skipped":     slices.Concat(frame(raw[:third]), skipped, frame(raw[third:])),
		"one with nothing in it":  slices.Concat(frame(nil), frame(raw[:third]), frame(raw[third:])),
		"one, then an odd stream": slices.Concat(frame(raw[:third]), frame(raw[third:third+7]), frame(raw[third+7:])),
	} {
		p := &chunk.Pack{Digest: chunk.Sum(blob), Size: int64(len(blob)), Raw: int64(len(raw)), Encoding: chunk.Zstd}
		some := slices.Concat(wanted[1:2], wanted[3:])
		read := func(blob []byte) (n int, err error) {
			err = chunk.Read(t.Context(), p, bytes.NewReader(blob), some, func(w chunk.Wanted, data []byte) error {
				if chunk.Sum(data) != w.ID {
					t.Errorf("%s: wrong chunk", name)
				}
				n++
				return nil
			})
			return n, err
		}
		if n, err := read(blob); n != len(some) || err != nil {
			t.Errorf("%s: %d chunks, %v", name, n, err)
		}
		for _, end := range []int{0, 1, 5, 12, len(blob) / 3, len(blob) / 2, len(blob) - 9} {
			if _, err := read(blob[:end]); err == nil {
				t.Errorf("%s: %d of %d bytes were taken", name, end, len(blob))
			}
		}
		for at := range 8 {
			other := bytes.Clone(blob)
			other[at*len(blob)/8] ^= 0x10
			_, _ = read(other) // what is taken has its digest
		}
	}
}

// Parts are read by whoever gets them, at any time, and what is wanted in them comes in runs.
func TestPartsStandAlone(t *testing.T) {
	var chunks [][]byte
	for i := range 40 {
		chunks = append(chunks, append(noise(uint64(i), 50_000), bytes.Repeat([]byte{byte(i)}, 250_000)...))
	}
	for _, e := range []chunk.Encoding{chunk.Stored, chunk.Zstd} {
		blobs, places := build(t, e, chunks)
		for _, b := range blobs {
			var wanted []chunk.Wanted
			for i, l := range places {
				if l.Pack == b.pack && i != 7 {
					wanted = append(wanted, chunk.Wanted{ID: chunk.Sum(chunks[i]), Offset: l.Offset, Size: len(chunks[i])})
				}
			}
			var parts []*chunk.Part
			if err := chunk.Split(t.Context(), b.pack, bytes.NewReader(b.data), wanted, func(p *chunk.Part) error { parts = append(parts, p); return nil }); err != nil {
				t.Fatal(err)
			}
			got, runs := 0, 0
			for _, p := range slices.Backward(parts) {
				err := p.Read(func(run []chunk.Wanted, data []byte) error {
					runs++
					for _, w := range run {
						if chunk.Sum(data[:w.Size]) != w.ID {
							t.Error("wrong chunk")
						}
						data = data[w.Size:]
						got++
					}
					if len(data) > 0 {
						t.Error("more than the chunks of the run")
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if got != len(wanted) || runs > len(parts)+1 || (len(wanted) > 15 && len(parts) < 2) {
				t.Errorf("%d of %d chunks in %d runs of %d parts", got, len(wanted), runs, len(parts))
			}
		}
	}
}
