package repack

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// A written layer is compressed, in a temporary file without a name.
type written struct {
	descriptor v1.Descriptor
	diffID     v1.Hash
	entries    int
	file       *os.File
	remove     func()
}

// open reads the layer from its beginning; seen is told how far.
func (w *written) open(seen func(n int64)) io.ReadCloser {
	return io.NopCloser(&countingReader{r: io.NewSectionReader(w.file, 0, w.descriptor.Size), seen: seen})
}

// rawSize is about how large the tar stream of the units is: headers of parents
// are few.
func rawSize(contents []*unit) int64 {
	var n int64
	for _, u := range contents {
		n += int64(len(u.entries)) * 512
		for i, e := range u.entries {
			if i == 0 || e.Inode != u.entries[i-1].Inode {
				n += u.raw
			}
		}
	}
	return n
}

// A meter reports what is written to it, up to just below its total.
type meter struct {
	done, total int64
	tell        func(done, total int64)
}

func (m *meter) Write(p []byte) (int, error) {
	m.done += int64(len(p))
	m.tell(min(m.done, m.total-1), m.total)
	return len(p), nil
}

type countingReader struct {
	r    io.Reader
	n    int64
	seen func(n int64)
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.seen(c.n)
	return n, err
}

// writeLayer writes and compresses one output layer.
// Progress is told how many uncompressed bytes are done, of how many.
func writeLayer(ctx context.Context, s *scanned, contents []*unit, c codec, dir string, progress func(done, total int64)) (_ *written, err error) {
	f, remove, err := tempFile(dir, "docker-repack-layer-*")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			remove()
		}
	}()
	packed, plain, size := sha256.New(), sha256.New(), counter(0)
	buffered := bufio.NewWriterSize(f, 256<<10)
	z, err := c.open(io.MultiWriter(buffered, packed, &size))
	if err != nil {
		return nil, err
	}
	meter := &meter{total: rawSize(contents), tell: progress}
	entries, err := writeTar(ctx, io.MultiWriter(z, plain, meter), s, contents)
	progress(meter.total, meter.total)
	if closed := z.Close(); err == nil {
		err = closed
	}
	if flushed := buffered.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		return nil, explainDisk(err)
	}
	return &written{
		descriptor: v1.Descriptor{
			MediaType: c.mediaType,
			Size:      int64(size),
			Digest:    v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(packed.Sum(nil))},
		},
		diffID:  v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(plain.Sum(nil))},
		entries: entries, file: f, remove: remove,
	}, nil
}

// writeTar writes the units as a tar stream and returns how many entries it has.
//
// Before an entry come the directories that lead to it, with their final
// attributes, unless this layer has them already: engines unpack a layer on its
// own, and a directory that it does not list becomes root's, 0755.
func writeTar(ctx context.Context, w io.Writer, s *scanned, contents []*unit) (int, error) {
	reader, err := newSpoolReader()
	if err != nil {
		return 0, err
	}
	defer reader.close()
	t := &tarWriter{Writer: tar.NewWriter(w), scanned: s, reader: reader, directories: map[string]bool{}}
	if err := t.parents("."); err != nil { // also of a tree that is nothing but its root
		return 0, err
	}
	for _, u := range contents {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		if err := t.unit(ctx, u); err != nil {
			return 0, err
		}
	}
	return t.entries, t.Close()
}

type tarWriter struct {
	*tar.Writer
	scanned     *scanned
	reader      *spoolReader
	directories map[string]bool // that the layer has already
	entries     int
}

func (t *tarWriter) unit(ctx context.Context, u *unit) error {
	var previous *layer.Inode
	var first string
	for _, e := range u.entries {
		if err := t.parents(e.Path); err != nil {
			return err
		}
		link := ""
		if e.Inode == previous {
			link = first
		} else {
			previous, first = e.Inode, e.Path
		}
		if err := t.header(e.Path, e.Inode, link); err != nil {
			return err
		}
		if e.Type != layer.Regular || link != "" || e.Size == 0 {
			continue
		}
		c := t.scanned.contents[u.first.Layer]
		if err := t.reader.copy(cancelWriter{ctx, t}, c.segment, c.offset(u.first.Ordinal), e.Size); err != nil {
			return fmt.Errorf("writing %q: %w", e.Path, err)
		}
	}
	return nil
}

func (t *tarWriter) parents(name string) error {
	dir := path.Dir(name)
	if t.directories[dir] {
		return nil
	}
	if dir != "." {
		if err := t.parents(dir); err != nil {
			return err
		}
	}
	t.directories[dir] = true
	e, ok := t.scanned.tree.Lookup(dir)
	if !ok {
		return fmt.Errorf("directory %q is not in the tree", dir)
	}
	if dir == "." && e.Implied {
		return nil // the source has no entry for it: engines make their own
	}
	return t.header(dir, e.Inode, "")
}

func (t *tarWriter) header(name string, in *layer.Inode, link string) error {
	if in.Type == layer.Directory {
		t.directories[name] = true
	}
	t.entries++
	if err := t.WriteHeader(in.Header(name, link)); err != nil {
		return fmt.Errorf("writing the header of %q: %w", name, err)
	}
	return nil
}

// A cancelWriter stops a long content when the context ends.
type cancelWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c cancelWriter) Write(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
