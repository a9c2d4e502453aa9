package repack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// staging holds what goes into an archive, in a temporary file without a name,
// until all of it is known: blobs arrive in any order, and an archive has one that
// depends on the image alone.
type staging struct {
	file   *os.File
	remove func()

	mu    sync.Mutex
	end   int64
	blobs map[v1.Hash]stagedBlob
}

type stagedBlob struct{ offset, size int64 }

func newStaging(dir string) (*staging, error) {
	f, remove, err := tempFile(dir, "docker-repack-archive-*")
	if err != nil {
		return nil, err
	}
	return &staging{file: f, remove: remove, blobs: map[v1.Hash]stagedBlob{}}, nil
}

func (s *staging) PutBlob(ctx context.Context, d v1.Descriptor, open func() (io.ReadCloser, error)) (bool, error) {
	s.mu.Lock()
	_, there := s.blobs[d.Digest]
	at := s.end
	if !there {
		s.end += d.Size // of others that come meanwhile
	}
	s.mu.Unlock()
	if there {
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
	if _, err := io.Copy(io.NewOffsetWriter(s.file, at), cancelReader{ctx, r}); err != nil {
		return false, fmt.Errorf("storing %s: %w", d.Digest, explainDisk(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[d.Digest] = stagedBlob{at, d.Size}
	return true, nil
}

func (s *staging) PutManifest(ctx context.Context, d v1.Descriptor, raw []byte) error {
	_, err := s.PutBlob(ctx, d, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil })
	return err
}

func (s *staging) section(h v1.Hash) (*io.SectionReader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[h]
	if !ok {
		return nil, fmt.Errorf("%s: %w", h, fs.ErrNotExist)
	}
	return io.NewSectionReader(s.file, b.offset, b.size), nil
}

func (s *staging) Manifest(_ context.Context, d v1.Descriptor) ([]byte, error) {
	r, err := s.section(d.Digest)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func (s *staging) Blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	r, err := s.section(d.Digest)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(r), nil
}

// Abort gives up what is staged.
func (s *staging) Abort() { s.remove() }
