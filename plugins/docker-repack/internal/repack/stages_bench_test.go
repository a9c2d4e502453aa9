package repack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"

	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// BenchmarkReadLayer is what one gzip layer costs from its store to the spool.
func BenchmarkReadLayer(b *testing.B) {
	var plain, packed bytes.Buffer
	t := tar.NewWriter(&plain)
	for i, content := 0, text(4, 32<<20); len(content) > 0; i++ {
		n := min(len(content), 1+i*977%60_000)
		if err := t.WriteHeader(&tar.Header{Name: fmt.Sprintf("usr/lib/file%d", i), Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(n)}); err != nil {
			b.Fatal(err)
		}
		if _, err := t.Write(content[:n]); err != nil {
			b.Fatal(err)
		}
		content = content[n:]
	}
	if err := t.Close(); err != nil {
		b.Fatal(err)
	}
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain.Bytes()); err != nil {
		b.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	diffID, _, _ := v1.SHA256(bytes.NewReader(plain.Bytes()))
	digest, size, _ := v1.SHA256(bytes.NewReader(packed.Bytes()))
	l := layerBlob{store: memoryStore(packed.Bytes()), descriptor: v1.Descriptor{Digest: digest, Size: size}, diffID: diffID}
	step := progress.Discard.Step("reading")
	b.SetBytes(int64(plain.Len()))
	for b.Loop() {
		sp, err := newSpool(b.TempDir(), 2)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, _, err := l.scan(b.Context(), newBudget(DefaultMemory, 0), sp, step); err != nil {
			b.Fatal(err)
		}
		sp.close()
	}
}

type memoryStore []byte

func (m memoryStore) Manifest(context.Context, v1.Descriptor) ([]byte, error) { return m, nil }

func (m memoryStore) Blob(context.Context, v1.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m)), nil
}

// BenchmarkSpool writes contents, and reads them back in order.
func BenchmarkSpool(b *testing.B) {
	raw := text(5, 32<<20)
	write := func(b *testing.B) *segment {
		sp, err := newSpool(b.TempDir(), 2)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(sp.close)
		g := sp.segment(b.Context())
		put(b, g, raw)
		if err := g.end(nil); err != nil {
			b.Fatal(err)
		}
		return g
	}
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			write(b)
		}
	})
	b.Run("read", func(b *testing.B) {
		g := write(b)
		r, err := newSpoolReader()
		if err != nil {
			b.Fatal(err)
		}
		defer r.close()
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			h := sha256.New()
			for off := int64(0); off < int64(len(raw)); off += 10_000 {
				if err := r.copy(h, g, off, min(10_000, int64(len(raw))-off)); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
