package layer

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// ErrEntryType is a tar entry of a type that no filesystem of an image can have.
var ErrEntryType = errors.New("unknown tar entry type")

// PieceSize is in what pieces, in bytes, contents are handed out.
const PieceSize = 128 << 10

// Options of [Scan]. The zero value only reads.
type Options struct {
	Limits Limits // of this layer, where Quota is nil
	// Quota is what several layers share that are scanned with the same.
	Quota *Quota
	// File, if not nil, is called for each regular file that is not empty, in
	// the order of the stream, and returns where its content is copied to.
	// Ordinal is the Position.Ordinal of the file's [Inode]. Each piece that is written
	// ends at a multiple of PieceSize or with the content, and sum is by then the SHA-256
	// of the content up to that end.
	File func(ordinal int, size int64, sum hash.Hash) (io.Writer, error)
	// Like, if not nil, is a tree that the layer is expected to be a part of. Files
	// with one name that turn out to be exactly as it has them take no memory of
	// their own; the changeset is the same, but that merging it changes the Source
	// of the tree's inodes.
	Like *Tree
}

// A Changeset is what one layer says, without the contents of its files.
type Changeset struct {
	records []record
	// Files and Bytes count the layer's regular files and their contents,
	// whether or not a later entry or layer hides them.
	Files int
	Bytes int64
}

// Len returns the number of entries, whiteouts and markers.
func (c *Changeset) Len() int { return len(c.records) }

type record struct {
	kind recordKind
	path string // for a whiteout the path it hides, for an opaque marker the directory
	node *Inode // of a plain entry and an auxiliary file; of a link what its header says
}

// link is the clean target path of a hard link.
func (r record) link() string { return r.node.Target }

type recordKind uint8

const (
	entryRecord recordKind = iota
	linkRecord
	whiteoutRecord
	opaqueRecord
	auxiliaryRecord
)

// Scan reads the uncompressed tar stream of one layer to its end, and past the
// archive's end to the end of r, so that a reader that verifies a digest at EOF
// has its say. After an error, the quota is as it was before.
func Scan(ctx context.Context, r io.Reader, opts Options) (_ *Changeset, err error) {
	quota := opts.Quota
	if quota == nil {
		quota = &Quota{limits: opts.Limits.withDefaults()}
	}
	took := &draw{quota: quota}
	defer func() {
		if err != nil {
			took.giveBack()
		}
	}()
	in := &boundedReader{ctx: ctx, r: r, took: took}
	s := scanner{tar: tar.NewReader(in), opts: opts, took: took, buf: make([]byte, PieceSize)}
	for ordinal := 0; ; ordinal++ {
		h, err := s.tar.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading entry %d: %w", ordinal, err)
		}
		if err := took.entry(); err != nil {
			return nil, err
		}
		if err := s.entry(ordinal, h); err != nil {
			var bad *NameError
			if errors.As(err, &bad) {
				return nil, fmt.Errorf("reading entry %d: %w", ordinal, err)
			}
			return nil, fmt.Errorf("reading entry %d, %q: %w", ordinal, h.Name, err)
		}
	}
	if _, err := io.CopyBuffer(io.Discard, onlyReader{in}, s.buf); err != nil {
		return nil, fmt.Errorf("reading past the end of the archive: %w", err)
	}
	return &s.out, nil
}

type scanner struct {
	tar  *tar.Reader
	opts Options
	took *draw
	buf  []byte
	out  Changeset
}

func (s *scanner) entry(ordinal int, h *tar.Header) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // engines ignore it
	}
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	path, kind, err := classify(name)
	if err != nil {
		return err
	}
	metadata := int64(len(h.Name) + len(h.Linkname))
	for k, v := range h.PAXRecords {
		metadata += int64(len(k) + len(v))
	}
	if err := s.took.metadata(metadata); err != nil {
		return err
	}
	switch kind {
	case ignoredName:
		return nil
	case whiteoutName:
		s.add(record{kind: whiteoutRecord, path: path})
		return nil
	case opaqueName:
		s.add(record{kind: opaqueRecord, path: path})
		return nil
	}
	if kind == auxiliaryName && h.Typeflag != tar.TypeReg {
		return nil
	}
	if h.Typeflag == tar.TypeLink {
		return s.link(path, h)
	}
	node, err := newInode(h)
	if err != nil {
		return err
	}
	if path == "." && node.Type != Directory {
		return errors.New("the root is not a directory")
	}
	node.Source.Ordinal = int32(ordinal)
	if node.Type == Regular {
		if err := s.content(ordinal, node); err != nil {
			return err
		}
	}
	r := record{kind: entryRecord, path: path, node: node}
	if kind == auxiliaryName {
		r.kind = auxiliaryRecord
	} else if s.opts.Like != nil {
		if e, ok := s.opts.Like.Lookup(path); ok && e.Link == "" && e.equal(node) {
			r.path, r.node = e.Path, e.Inode
		}
	}
	s.add(r)
	return nil
}

func (s *scanner) link(path string, h *tar.Header) error {
	target, err := cleanName(h.Linkname)
	if err != nil {
		return fmt.Errorf("hard link target: %w", err)
	}
	if path == "." || target == "." || path == target {
		return fmt.Errorf("hard link to %q cannot be made", h.Linkname)
	}
	header, err := newAttributes(h)
	if err != nil {
		return err
	}
	header.Target = target
	s.add(record{kind: linkRecord, path: path, node: header})
	return nil
}

func (s *scanner) content(ordinal int, node *Inode) error {
	if err := s.took.content(node.Size); err != nil {
		return err
	}
	s.out.Files++
	s.out.Bytes += node.Size
	if node.Size == 0 {
		node.Sum = emptySum
		return nil
	}
	sum := sha256.New()
	w := io.Discard
	if s.opts.File != nil {
		f, err := s.opts.File(ordinal, node.Size, sum)
		if err != nil {
			return err
		}
		w = f
	}
	for left := node.Size; left > 0; {
		piece := s.buf[:min(left, PieceSize)]
		if _, err := io.ReadFull(s.tar, piece); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		sum.Write(piece)
		if _, err := w.Write(piece); err != nil {
			return err
		}
		left -= int64(len(piece))
	}
	sum.Sum(node.Sum[:0])
	return nil
}

func (s *scanner) add(r record) { s.out.records = append(s.out.records, r) }

// onlyReader hides a WriterTo, which would go around the buffer.
type onlyReader struct{ io.Reader }

// boundedReader ends with an error when the context does or when more bytes come
// than allowed.
type boundedReader struct {
	ctx  context.Context
	r    io.Reader
	took *draw
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if err := context.Cause(b.ctx); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	if full := b.took.stream(int64(n)); full != nil {
		return 0, full
	}
	return n, err
}
