// Package tree computes the canonical digest of an image's file system: what its
// layers give when they are put on top of each other, however they are cut and
// compressed. An image that was repacked without a change has the same digest
// (docs/design/001-canonical-tree-digest.md).
package tree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Digest reads every layer of img and returns the digest of the merged tree,
// "sha256:<hex>". Layers are checked against the diff IDs of the image's config.
// Names and attributes are held in memory, within the limits of [layer.Scan];
// contents are not, and nothing is written.
func Digest(ctx context.Context, img v1.Image, step progress.Step) (string, error) {
	digest, err := digest(ctx, img, step)
	if err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", fmt.Errorf("computing the tree digest: %w", err)
	}
	return digest, nil
}

func digest(ctx context.Context, img v1.Image, step progress.Step) (string, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return "", err
	}
	layers, err := img.Layers()
	if err != nil {
		return "", err
	}
	ids := config.RootFS.DiffIDs
	if len(ids) != len(layers) {
		return "", fmt.Errorf("the image has %d layers and %d diff IDs", len(layers), len(ids))
	}
	meter, err := newMeter(layers, step)
	if err != nil {
		return "", err
	}
	sets := make([]*layer.Changeset, len(layers))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, l := range layers {
		g.Go(func() error {
			var err error
			if sets[i], err = scan(ctx, l, ids[i], meter); err != nil {
				return fmt.Errorf("reading layer %d, %s: %w", i, ids[i], err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	merged, err := layer.Merge(sets)
	if err != nil {
		return "", fmt.Errorf("merging the layers: %w", err)
	}
	return merged.Digest().String(), nil
}

func scan(ctx context.Context, l v1.Layer, id v1.Hash, m *meter) (*layer.Changeset, error) {
	blob, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	plain, err := layer.Decompress(io.TeeReader(blob, m))
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	checked := &hashed{plain, sha256.New()}
	set, err := layer.Scan(ctx, checked, layer.Options{})
	if err != nil {
		return nil, err
	}
	if got := "sha256:" + hex.EncodeToString(checked.hash.Sum(nil)); got != id.String() {
		return nil, fmt.Errorf("its content is %s", got)
	}
	return set, nil
}

// A meter shows how much of all layers has been read.
type meter struct {
	mu    sync.Mutex
	step  progress.Step
	read  int64
	total int64
}

func newMeter(layers []v1.Layer, step progress.Step) (*meter, error) {
	m := &meter{step: step}
	for _, l := range layers {
		n, err := l.Size()
		if err != nil {
			return nil, err
		}
		m.total += n
	}
	return m, nil
}

// Write implements io.Writer.
func (m *meter) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read += int64(len(p))
	m.step.Bytes("layers", m.read, m.total)
	return len(p), nil
}

// hashed takes the digest of what is read.
type hashed struct {
	r    io.Reader
	hash hash.Hash
}

func (h *hashed) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.hash.Write(p[:n])
	return n, err
}
