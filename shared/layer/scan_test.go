package layer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

func TestScanLimits(t *testing.T) {
	data := Tar(t, File("a", strings.Repeat("x", 5000)), File("b", ""), File("c", ""))
	for name, limits := range map[string]layer.Limits{
		"entries":  {Entries: 2},
		"bytes":    {Bytes: 4000},
		"metadata": {Metadata: 2},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{Limits: limits}); !errors.Is(err, layer.ErrTooLarge) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{Limits: layer.Limits{Entries: 3, Bytes: 1 << 20, Metadata: 3}}); err != nil {
		t.Errorf("at the limits: %v", err)
	}
}

// Layers that share a quota may have it once; one that could not be read to its end
// has not used any.
func TestScanQuota(t *testing.T) {
	data := Tar(t, File("a", strings.Repeat("x", 5000)), File("b", ""))
	for name, limits := range map[string]layer.Limits{
		"entries":  {Entries: 5},
		"bytes":    {Bytes: 2*int64(len(data)) + 1000},
		"metadata": {Metadata: 5},
	} {
		quota := layer.NewQuota(limits)
		scan := func(data []byte) error {
			_, err := layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{Quota: quota})
			return err
		}
		for range 3 {
			if err := scan(data[:3000]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s: got %v", name, err)
			}
		}
		for range 2 {
			if err := scan(data); err != nil {
				t.Fatalf("%s: got %v", name, err)
			}
		}
		if err := scan(data); !errors.Is(err, layer.ErrTooLarge) || !strings.Contains(err.Error(), "for all layers") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A sparse entry claims contents that are not in the stream.
func TestScanSparseBomb(t *testing.T) {
	for name, write := range SparseFormats {
		bomb := Archive(write(Sparse{Name: "s", Size: 1 << 50, Offsets: []int64{1<<50 - 512}}))
		if _, err := layer.Scan(t.Context(), bytes.NewReader(bomb), layer.Options{}); !errors.Is(err, layer.ErrTooLarge) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestScanReadsToTheEnd(t *testing.T) {
	data := append(Tar(t, File("a", "")), make([]byte, 100_000)...)
	r := bytes.NewReader(data)
	if _, err := layer.Scan(t.Context(), r, layer.Options{}); err != nil || r.Len() != 0 {
		t.Errorf("left %d bytes, error %v", r.Len(), err)
	}
}

func TestScanTruncated(t *testing.T) {
	data := Tar(t, File("a", strings.Repeat("x", 3000)))
	for _, n := range []int{100, 600, 2000} {
		if _, err := layer.Scan(t.Context(), bytes.NewReader(data[:n]), layer.Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: got %v", n, err)
		}
	}
}

func TestScanCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := layer.Scan(ctx, bytes.NewReader(Tar(t, File("a", ""))), layer.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Contents come in pieces, each with the digest of all up to its end.
func TestScanHandsOutContents(t *testing.T) {
	long := strings.Repeat("long", layer.PieceSize/2)
	data := Tar(t, Dir("d"), File("empty", ""), File("a", "first"), Link("l", "a"), File("b", long), File("c", long[:layer.PieceSize]))
	var got []string
	var contents []*summed
	// A reader that gives little at a time changes nothing.
	in := iotest.OneByteReader(bytes.NewReader(data))
	_, err := layer.Scan(t.Context(), in, layer.Options{File: func(ordinal int, size int64, sum hash.Hash) (io.Writer, error) {
		got = append(got, fmt.Sprint(ordinal, size))
		contents = append(contents, &summed{t: t, size: size, sum: sum})
		return contents[len(contents)-1], nil
	}})
	if err != nil || fmt.Sprint(got) != fmt.Sprint([]string{"2 5", fmt.Sprint(4, len(long)), fmt.Sprint(5, layer.PieceSize)}) {
		t.Fatalf("got %v, %v", got, err)
	}
	for i, want := range []string{"first", long, long[:layer.PieceSize]} {
		if contents[i].String() != want {
			t.Errorf("content %d has %d bytes that are not what was written", i, contents[i].Len())
		}
	}
}

type summed struct {
	bytes.Buffer
	t    *testing.T
	size int64
	sum  hash.Hash
}

func (s *summed) Write(p []byte) (int, error) {
	s.Buffer.Write(p)
	if n := s.Len(); n%layer.PieceSize != 0 && int64(n) != s.size {
		s.t.Errorf("a piece ends at %d of %d", n, s.size)
	}
	if want := sha256.Sum256(s.Bytes()); !bytes.Equal(s.sum.Sum(nil), want[:]) {
		s.t.Errorf("the digest of the first %d bytes is wrong", s.Len())
	}
	return len(p), nil
}

func TestDecompress(t *testing.T) {
	plain := Tar(t, File("a", "x"))
	zip := func(data []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(data)
		w.Close()
		return b.Bytes()
	}
	zipped := zip(plain)
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	zst := encoder.EncodeAll(plain, nil)
	for name, data := range map[string][]byte{
		"plain": plain, "gzip": zipped, "zstd": zst,
		"zstd after a skippable frame": append([]byte{0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'h', 'i'}, zst...),
		"gzip in two members":          slices.Concat(zip(plain[:700]), zip(plain[700:])),
		"gzip with an empty member":    slices.Concat(zip(nil), zip(plain), zip(nil)),
		"gzip padded with zeros":       slices.Concat(zipped, make([]byte, 300_000)),
		"gzip in members, padded":      slices.Concat(zip(plain[:700]), zip(plain[700:]), make([]byte, 1)),
		"empty":                        {},
	} {
		t.Run(name, func(t *testing.T) {
			in := bytes.NewReader(data)
			r, err := layer.Decompress(in)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			got, err := io.ReadAll(r)
			if err != nil || (name != "empty" && !bytes.Equal(got, plain)) || in.Len() != 0 {
				t.Errorf("%d bytes, %d left, error %v", len(got), in.Len(), err)
			}
		})
	}
	for name, data := range map[string][]byte{
		"truncated gzip":            zipped[:len(zipped)-9],
		"truncated second header":   slices.Concat(zipped, zipped[:1]),
		"truncated second member":   slices.Concat(zipped, zipped[:20]),
		"rubbish after gzip":        slices.Concat(zipped, []byte("rubbish, and more")),
		"rubbish after the padding": slices.Concat(zipped, make([]byte, 512), []byte("x")),
		"truncated zstd":            zst[:len(zst)-3],
	} {
		r, err := layer.Decompress(bytes.NewReader(data))
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if err == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
}
