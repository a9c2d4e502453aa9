package repack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// layoutDestination writes an OCI image layout. Its index.json is written last,
// in one step.
type layoutDestination struct {
	dir string
	tag string

	// before is index.json when the layout was opened; nil if there was none.
	before []byte

	mu    sync.Mutex
	made  []string // directories that were created, outermost first
	added []string // files that were created
	found []string // files that were there already, of somebody else's making
}

var _ Destination = (*layoutDestination)(nil)

const layoutVersion = `{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`

func newLayoutDestination(ref image.Reference) (*layoutDestination, error) {
	l := &layoutDestination{dir: ref.Dir, tag: ref.Tag}
	switch entries, err := os.ReadDir(ref.Dir); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("opening destination %s: %w", ref, err)
	case len(entries) > 0:
		if _, err := l.index(); err != nil && (!errors.Is(err, fs.ErrNotExist) || !isBegun(entries)) {
			return nil, fault.Hint(fmt.Errorf("destination %s is neither empty nor an OCI layout: %w", ref, err), "choose another directory")
		}
	}
	l.before, _ = os.ReadFile(l.indexFile()) // read before, or not there
	if err := checkWritable(ref.Dir); err != nil {
		return nil, fault.Hint(fmt.Errorf("opening destination %s: %w", ref, err), "choose a directory that can be written")
	}
	return l, nil
}

// isBegun reports whether the entries of a directory are what a layout has before its
// index.json: another run may be at work on it, or may have been killed.
func isBegun(entries []fs.DirEntry) bool {
	return !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() != ocispec.ImageBlobsDir && e.Name() != ocispec.ImageLayoutFile && !strings.HasPrefix(e.Name(), temporaryPrefix)
	})
}

func (l *layoutDestination) path(d v1.Descriptor) string {
	return filepath.Join(l.dir, "blobs", d.Digest.Algorithm, d.Digest.Hex)
}

func (l *layoutDestination) indexFile() string { return filepath.Join(l.dir, ocispec.ImageIndexFile) }

func (l *layoutDestination) Manifest(_ context.Context, d v1.Descriptor) ([]byte, error) {
	return os.ReadFile(l.path(d))
}

func (l *layoutDestination) Blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return os.Open(l.path(d))
}

func (l *layoutDestination) PutBlob(ctx context.Context, d v1.Descriptor, open func() (io.ReadCloser, error)) (bool, error) {
	if l.has(ctx, d) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.found = append(l.found, l.path(d))
		return false, nil
	}
	r, err := open()
	if err != nil {
		return false, err
	}
	if r, err = verify(r, d, nil); err != nil {
		return false, err
	}
	defer r.Close()
	l.mu.Lock()
	err = l.mkdir(filepath.Dir(l.path(d)))
	l.mu.Unlock()
	if err != nil {
		return false, fmt.Errorf("writing to %s: %w", l.dir, err)
	}
	if err := writeAtomically(l.path(d), copyTo(cancelReader{ctx, r})); err != nil {
		if noRoom(err) {
			err = fault.Hint(err, "the destination needs room for all of the compressed image: make some in %s, or choose another", l.dir)
		}
		return false, fmt.Errorf("writing blob %s: %w", d.Digest, err)
	}
	l.add(l.path(d))
	return true, nil
}

// has reports whether the blob is there, whole: an interrupted copy by some other
// program may have left a part of it.
func (l *layoutDestination) has(ctx context.Context, d v1.Descriptor) bool {
	f, err := os.Open(l.path(d))
	if err != nil {
		return false
	}
	r, err := verify(f, d, nil)
	if err != nil {
		return false
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, cancelReader{ctx, r})
	return err == nil
}

func (l *layoutDestination) add(file string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.added = append(l.added, file)
}

// mkdir makes dir and what is missing above it, and remembers what it made.
func (l *layoutDestination) mkdir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := l.mkdir(parent); err != nil {
			return err
		}
	}
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		l.made = append(l.made, dir)
	} else if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (l *layoutDestination) PutManifest(ctx context.Context, d v1.Descriptor, raw []byte) error {
	_, err := l.PutBlob(ctx, d, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil })
	return err
}

// Publish lists the manifest in index.json in place of the one that had its name;
// without a name, in place of the one that has none. Others may write to the layout
// at the same time.
func (l *layoutDestination) Publish(ctx context.Context, d v1.Descriptor, _ []byte) error {
	unlock, err := lockDir(l.dir)
	if err != nil {
		return err
	}
	defer unlock()
	for _, f := range l.found {
		if _, err := os.Stat(f); err != nil {
			return fault.Hint(fmt.Errorf("writing to %s: what was there is gone: %w", l.dir, err), "another program writes to the layout, too: run the command again")
		}
	}
	index, err := l.index()
	if errors.Is(err, fs.ErrNotExist) {
		index = v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	} else if err != nil {
		return err
	}
	if l.tag != "" {
		d.Annotations = map[string]string{ocispec.AnnotationRefName: l.tag}
	}
	index.Manifests = slices.DeleteFunc(index.Manifests, func(old v1.Descriptor) bool {
		return old.Annotations[ocispec.AnnotationRefName] == l.tag
	})
	index.Manifests = append(index.Manifests, d)
	raw, err := encode(index)
	if err != nil {
		return err
	}
	version := filepath.Join(l.dir, ocispec.ImageLayoutFile)
	if _, err := os.Stat(version); errors.Is(err, fs.ErrNotExist) {
		if err := writeAtomically(version, copyTo(strings.NewReader(layoutVersion))); err != nil {
			return err
		}
		l.add(version)
	}
	return writeAtomically(l.indexFile(), copyTo(cancelReader{ctx, bytes.NewReader(raw)}))
}

// Abort removes the files and directories that this run has made, unless somebody
// else has listed images meanwhile: they may be of the same parts.
func (l *layoutDestination) Abort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if unlock, err := lockDir(l.dir); err == nil {
		defer unlock()
	}
	if now, _ := os.ReadFile(l.indexFile()); !bytes.Equal(now, l.before) {
		return
	}
	for _, f := range l.added {
		os.Remove(f)
	}
	for _, dir := range slices.Backward(l.made) {
		os.Remove(dir) // fails, as it should, if something else is in it by now
	}
}

func (l *layoutDestination) index() (v1.IndexManifest, error) {
	var index v1.IndexManifest
	raw, err := os.ReadFile(l.indexFile())
	if err == nil {
		err = json.Unmarshal(raw, &index)
	}
	return index, err
}

// copyTo is for writeAtomically.
func copyTo(r io.Reader) func(*os.File) error {
	return func(f *os.File) error {
		_, err := io.Copy(f, r)
		return err
	}
}

// A cancelReader stops when the context ends.
type cancelReader struct {
	ctx context.Context
	io.Reader
}

func (c cancelReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}
