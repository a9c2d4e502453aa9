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

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// A written layer is compressed, in a temporary file without a name.
type written struct {
	descriptor v1.Descriptor
	diffID     v1.Hash
	entries    int
	kept       *keptLayer // nil for a new layer, which has the rest
	reading    int64      // memory that it takes to read the layer
	file       *os.File
	remove     func()
}

// open reads the layer from its beginning; seen is told how far.
func (w *written) open(seen func(n int64)) io.ReadCloser {
	return io.NopCloser(&countingReader{r: io.NewSectionReader(w.file, 0, w.descriptor.Size), seen: seen})
}

// rawSize is about how large the tar stream of a layer is: headers of parents
// are few.
func rawSize(l *plan.Layer) int64 {
	var n int64
	for _, u := range l.Units {
		n += int64(len(u.Entries))*512 + int64(len(u.Files()))*u.Raw
	}
	return n
}

// reachOf is how far apart copies of a file are in the tar stream of a layer, at most, if that is
// more than the codec's window and not more than it can be told of; else 0.
func (c codec) reachOf(l *plan.Layer) int64 {
	var reach int64
	for _, u := range l.Units {
		if len(u.Files()) > 1 && u.Raw+reachSlack > c.window && u.Raw <= c.reach {
			reach = max(reach, u.Raw+reachSlack)
		}
	}
	return reach
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

// writeLayer writes and compresses one output layer, up to its limit, and returns the
// units that it had no room for. Progress is told how many uncompressed bytes are done, of how many.
func writeLayer(ctx context.Context, s *scanned, p *plan.Plan, index int, c codec, dir string, progress func(done, total int64)) (_ *written, rest []*plan.Unit, err error) {
	f, remove, err := tempFile(dir, "docker-repack-layer-*")
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			remove()
		}
	}()
	packed, plain, size := sha256.New(), sha256.New(), counter(0)
	buffered := bufio.NewWriterSize(f, 256<<10)
	planned := &p.Layers[index]
	z, err := c.open(io.MultiWriter(buffered, packed, &size), stream{raw: rawSize(planned), reach: c.reachOf(planned)})
	if err != nil {
		return nil, nil, err
	}
	room := &gauge{limit: planned.Limit, flush: func() (int64, error) {
		err := z.Flush()
		return int64(size), err
	}}
	meter := &meter{total: rawSize(planned), tell: progress}
	entries, err := writeTar(ctx, io.MultiWriter(z, plain, meter), s, p, index, room.admit, newCopies(z, meter))
	if err == nil {
		err = room.err
	}
	progress(meter.total, meter.total)
	if closed := z.Close(); err == nil {
		err = closed
	}
	if flushed := buffered.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		return nil, nil, explainDisk(err)
	}
	head := bufio.NewReader(io.NewSectionReader(f, 0, int64(size)))
	return &written{
		reading: layer.DecompressMemory(head) + readersMemory,
		descriptor: v1.Descriptor{
			MediaType: c.mediaType,
			Size:      int64(size),
			Digest:    v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(packed.Sum(nil))},
		},
		diffID:  v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(plain.Sum(nil))},
		entries: entries, file: f, remove: remove,
	}, room.rest, nil
}

// writeTar writes a layer of the plan as a tar stream, with those units that are
// admitted, and returns how many entries it has.
func writeTar(ctx context.Context, w io.Writer, s *scanned, p *plan.Plan, index int, admit func(...*plan.Unit) bool, copies *copies) (int, error) {
	reader, err := newSpoolReader()
	if err != nil {
		return 0, err
	}
	defer reader.close()
	t := tar.NewWriter(w)
	entries := 0
	for item := range p.Items(index, admit) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		if err := t.WriteHeader(item.Inode.Header(item.Path, item.LinkTo)); err != nil {
			return 0, fmt.Errorf("writing the header of %q: %w", item.Path, err)
		}
		entries++
		if !item.HasContent() {
			continue
		}
		c := s.contents[item.Content.Layer]
		off := c.offset(item.Content.Ordinal)
		copies.next(item.Content, item.Inode.Size)
		if err := reader.copy(cancelWriter{ctx, t}, c.segment, off, item.Inode.Size); err != nil {
			return 0, fmt.Errorf("writing %q: %w", item.Path, err)
		}
		c.segment.spool.finished(c.segment, off, item.Inode.Size)
	}
	return entries, t.Close()
}

// Copies tell a compressor of contents that the stream has had before.
type copies struct {
	repeater
	written *meter
	at      map[layer.Position]int64 // where a content was last
}

// minCopy is the least size of a content that a compressor is told of.
const minCopy = 4 << 10

// newCopies returns nil if the compressor cannot be told.
func newCopies(z compressor, written *meter) *copies {
	if r, ok := z.(repeater); ok {
		return &copies{r, written, map[layer.Position]int64{}}
	}
	return nil
}

// next says which content will be written next, n bytes.
func (c *copies) next(content layer.Position, n int64) {
	if c == nil || n < minCopy {
		return
	}
	if before, ok := c.at[content]; ok {
		c.Repeat(n, c.written.done-before)
	}
	c.at[content] = c.written.done
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
