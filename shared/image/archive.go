package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/layer"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// files are what a layout, or an archive's content, is made of. Names are
// slash-separated and relative; what is not there is fs.ErrNotExist.
type files interface {
	open(name string) (io.ReadCloser, int64, error)
	Close() error
}

// directory is files below a directory; links do not lead out of it.
type directory struct{ *os.Root }

func (d directory) open(name string) (io.ReadCloser, int64, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// An archive is a tar file whose entries are read by offset. Nothing is unpacked,
// so that the names of entries can do no harm.
type archive struct {
	file    *os.File
	entries map[string]span
	links   map[string]string // symbolic and hard links to entries
}

type span struct{ offset, size int64 }

// maxEntries bounds an archive's list; images have some hundred at the most.
const maxEntries = 100_000

// openArchive indexes a tar file. One that cannot be read by offset, since it is
// compressed or no regular file, is first written out into the temporary
// directory, to a file without a name.
func openArchive(ctx context.Context, name string, o Options) (*archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if info.IsDir() {
		f.Close()
		return nil, fault.Hint(fmt.Errorf("%s is a directory", name), "an OCI layout in a directory is written oci://%s", name)
	}
	if info.Mode().IsRegular() && !compressed(f) {
		return indexArchive(f)
	}
	defer f.Close()
	plain, err := layer.Decompress(f)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	return spoolArchive(ctx, plain, "unpacking "+name, o)
}

// compressed reports whether a file does not begin as a tar file does.
func compressed(f io.ReaderAt) bool {
	magic := make([]byte, 4)
	_, err := f.ReadAt(magic, 0)
	return err == nil && (string(magic[:2]) == "\x1f\x8b" || string(magic) == "\x28\xb5\x2f\xfd")
}

// spoolArchive writes a stream to a temporary file and indexes that.
func spoolArchive(ctx context.Context, r io.Reader, what string, o Options) (_ *archive, err error) {
	step := o.step(what)
	defer func() { step.Done(err) }()
	f, err := os.CreateTemp(o.TempDir, "docker-archive-*")
	if err != nil {
		return nil, fmt.Errorf("creating a temporary file: %w", err)
	}
	os.Remove(f.Name()) // where open files cannot be removed, it stays
	if _, err = io.Copy(f, &counted{r: readerWithContext{ctx, r}, step: step}); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, syscall.ENOSPC) {
			err = fault.Hint(err, "the directory for temporary files takes the archive as a whole: choose another, by TMPDIR for one")
		}
		return nil, fmt.Errorf("storing the archive in a temporary file: %w", err)
	}
	return indexArchive(f)
}

// counted tells a step how much has been read, of nobody knows how much.
type counted struct {
	r    io.Reader
	n    int64
	step progress.Step
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.step.Bytes("archive", c.n, 0)
	return n, err
}

func indexArchive(f *os.File) (*archive, error) {
	a := &archive{f, map[string]span{}, map[string]string{}}
	if err := a.index(); err != nil {
		f.Close()
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	return a, nil
}

func (a *archive) index() error {
	t := tar.NewReader(a.file)
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return a.whole(n)
		}
		if err != nil {
			return err
		}
		if n == maxEntries {
			return fmt.Errorf("it has more than %d entries", maxEntries)
		}
		name := path.Clean("/" + h.Name)[1:]
		switch h.Typeflag {
		case tar.TypeReg:
			// The reader takes whole blocks from the file and no more, so that the
			// content begins where it stands now.
			at, err := a.file.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			a.entries[name] = span{at, h.Size}
			delete(a.links, name)
		case tar.TypeSymlink:
			a.links[name] = path.Join("/", path.Dir(name), h.Linkname)[1:]
		case tar.TypeLink:
			a.links[name] = path.Clean("/" + h.Linkname)[1:]
		}
	}
}

// whole checks that no content ends behind the file: skipping by offset does not
// notice.
func (a *archive) whole(entries int) error {
	info, err := a.file.Stat()
	if err != nil {
		return err
	}
	if entries == 0 {
		return errors.New("it is empty, or no tar file")
	}
	for name, s := range a.entries {
		if s.offset+s.size > info.Size() {
			return fmt.Errorf("it is truncated: %s ends at %d, the file at %d: %w", name, s.offset+s.size, info.Size(), io.ErrUnexpectedEOF)
		}
	}
	return nil
}

// open opens an entry, at the end of at most 8 links: docker save once made some.
func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	name = path.Clean("/" + name)[1:]
	for range 8 {
		if s, ok := a.entries[name]; ok {
			return io.NopCloser(io.NewSectionReader(a.file, s.offset, s.size)), s.size, nil
		}
		to, ok := a.links[name]
		if !ok {
			break
		}
		name = to
	}
	return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (a *archive) Close() error { return a.file.Close() }

// readAll reads a file that is to be parsed.
func readAll(f files, name string) ([]byte, error) {
	r, size, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > MaxDocument {
		return nil, fmt.Errorf("%s: %d bytes are more than the %d that are read", name, size, MaxDocument)
	}
	return io.ReadAll(io.LimitReader(r, size))
}
