package chunk_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
)

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return b
}

func cut(t *testing.T, c *chunk.Cutter, data []byte, class chunk.Class) (out [][]byte) {
	t.Helper()
	if err := c.Cut(bytes.NewReader(data), class, func(b []byte) error { out = append(out, bytes.Clone(b)); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCutGivesBackWhatItTook(t *testing.T) {
	var c chunk.Cutter
	for _, n := range []int{0, 1, 8 << 10, 64 << 10, 64<<10 + 1, 1 << 20, 5<<20 + 3} {
		for _, class := range []chunk.Class{chunk.Files, chunk.Database, chunk.Blob} {
			data := noise(1, n)
			parts := cut(t, &c, data, class)
			if !bytes.Equal(bytes.Join(parts, nil), data) {
				t.Errorf("%d bytes of class %d come back changed", n, class)
			}
			for i, p := range parts {
				if len(p) == 0 || len(p) > chunk.MaxSize {
					t.Errorf("chunk %d of %d bytes has %d", i, n, len(p))
				}
			}
		}
	}
}

func TestAnEditChangesFewChunks(t *testing.T) {
	var c chunk.Cutter
	data := noise(2, 32<<20)
	known := map[chunk.ID]bool{}
	for _, p := range cut(t, &c, data, chunk.Files) {
		known[chunk.Sum(p)] = true
	}
	edited := append(append(bytes.Clone(data[:9<<20]), "some more"...), data[9<<20:]...)
	added := 0
	for _, p := range cut(t, &c, edited, chunk.Files) {
		if !known[chunk.Sum(p)] {
			added += len(p)
		}
	}
	if added == 0 || added > 3<<20 {
		t.Errorf("%d bytes are new after an insertion of 9", added)
	}
}

type blob struct {
	pack *chunk.Pack
	data []byte
}

func build(t *testing.T, e chunk.Encoding, chunks [][]byte) (blobs []blob, places []chunk.Location) {
	t.Helper()
	at := map[chunk.ID]chunk.Location{}
	b, err := chunk.NewBuilder(e, 5<<20, func(id chunk.ID, l chunk.Location) { at[id] = l }, func(p *chunk.Pack, data []byte) error { blobs = append(blobs, blob{p, data}); return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chunks {
		if err := b.Add(chunk.Sum(c), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, c := range chunks {
		places = append(places, at[chunk.Sum(c)])
	}
	return blobs, places
}

func TestPacksRoundTrip(t *testing.T) {
	var chunks [][]byte
	for i := range 12 {
		chunks = append(chunks, noise(uint64(i), 1<<20), bytes.Repeat([]byte{byte(i)}, 100_000))
	}
	for _, e := range []chunk.Encoding{chunk.Stored, chunk.Zstd} {
		blobs, places := build(t, e, chunks)
		// Neither the number of processors nor their speed shows in the packs.
		procs := runtime.GOMAXPROCS(1)
		again, _ := build(t, e, chunks)
		runtime.GOMAXPROCS(max(procs, 4))
		third, _ := build(t, e, chunks)
		runtime.GOMAXPROCS(procs)
		got := 0
		for n, b := range blobs {
			if b.pack.Digest != again[n].pack.Digest || b.pack.Digest != third[n].pack.Digest {
				t.Errorf("pack %d differs from one run to the next", n)
			}
			if b.pack.Size > 7<<20 || b.pack.Digest != chunk.Sum(b.data) || (n < len(blobs)-1 && b.pack.Size < 5<<20) {
				t.Errorf("%+v", b.pack)
			}
			var wanted []chunk.Wanted
			for i, l := range places {
				if l.Pack == b.pack && i%3 != 0 { // some are not wanted
					wanted = append(wanted, chunk.Wanted{ID: chunk.Sum(chunks[i]), Offset: l.Offset, Size: len(chunks[i])})
				}
			}
			err := chunk.Read(t.Context(), b.pack, bytes.NewReader(b.data), wanted, func(w chunk.Wanted, data []byte) error {
				got++
				if chunk.Sum(data) != w.ID {
					t.Error("wrong chunk")
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if len(blobs) < 2 || got != len(chunks)*2/3 {
			t.Errorf("%d packs, %d chunks", len(blobs), got)
		}
	}
}

func TestDamagedPacks(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	for _, e := range []chunk.Encoding{chunk.Stored, chunk.Zstd} {
		blobs, _ := build(t, e, [][]byte{data})
		p, raw := blobs[0].pack, blobs[0].data
		wanted := []chunk.Wanted{{ID: chunk.Sum(data), Size: len(data)}}
		read := func(p *chunk.Pack, r io.Reader, w []chunk.Wanted) error {
			return chunk.Read(t.Context(), p, r, w, func(chunk.Wanted, []byte) error { return nil })
		}
		if err := read(p, bytes.NewReader(raw), wanted); err != nil {
			t.Fatal(err)
		}
		if err := read(p, bytes.NewReader(raw[:len(raw)/2]), wanted); err == nil {
			t.Error("half a pack was taken")
		}
		other := bytes.Clone(raw)
		other[len(other)/2] ^= 1
		if err := read(p, bytes.NewReader(other), wanted); err == nil {
			t.Error("a changed pack was taken")
		}
		if err := read(p, bytes.NewReader(raw), []chunk.Wanted{{ID: chunk.ID{1}, Size: len(data)}}); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("another digest: %v", err)
		}
		// A bomb decodes to more than the index says: what is beyond is not read.
		short := *p
		short.Raw = 10
		if err := read(&short, bytes.NewReader(raw), wanted); err == nil && e == chunk.Zstd {
			t.Error("more was decoded than the pack is said to hold")
		}
		if err := read(p, bytes.NewReader(raw), append(wanted, chunk.Wanted{Offset: 5, Size: 5})); err == nil {
			t.Error("overlapping chunks were taken")
		}
	}
}
