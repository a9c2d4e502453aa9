// Package change tells how much of an image is new since the one before, as an
// outside tool, crane, merges their layers.
package change

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os/exec"

	"github.com/klauspost/compress/zstd"
)

// A Tree is what of a root filesystem is needed to compare the next one with it.
type Tree struct {
	contents map[[32]byte]bool   // of regular files
	entries  map[string][32]byte // path to a hash of the header and the content
}

// Size is how many bytes changes take when they are compressed alone, in one
// stream, as well as "balanced" does.
type Size struct {
	Contents int64 `json:"contents"` // files whose content is nowhere in the image before
	Entries  int64 `json:"entries"`  // entries that are new, or differ in content or metadata
}

// Since reads an image with "crane export" and returns its tree, and what of it is
// not in before.
func Since(ctx context.Context, before Tree, crane, ref string) (Tree, Size, error) {
	cmd := exec.CommandContext(ctx, crane, "export", "--insecure", ref, "-")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Tree{}, Size{}, fmt.Errorf("exporting an image: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return Tree{}, Size{}, fmt.Errorf("exporting an image: %w", err)
	}
	tree, size, err := read(before, out)
	if err != nil {
		_ = cmd.Process.Kill()
	}
	return tree, size, errors.Join(err, cmd.Wait())
}

func read(before Tree, from io.Reader) (Tree, Size, error) {
	after := Tree{map[[32]byte]bool{}, map[string][32]byte{}}
	contents, err := newArchive()
	if err != nil {
		return after, Size{}, err
	}
	entries, err := newArchive()
	if err != nil {
		return after, Size{}, err
	}
	r := tar.NewReader(from)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return after, Size{}, fmt.Errorf("reading a root filesystem: %w", err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return after, Size{}, fmt.Errorf("reading a root filesystem: %w", err)
		}
		content := sha256.Sum256(data)
		entry := sha256.Sum256(fmt.Appendf(nil, "%c %s %o %d %d %d %d %v %x", h.Typeflag, h.Linkname, h.Mode, h.Uid, h.Gid, h.ModTime.UnixNano(), h.Devmajor<<20|h.Devminor, h.PAXRecords, content))
		if h.Typeflag == tar.TypeReg {
			if !before.contents[content] && !after.contents[content] {
				if err := contents.add(h, data); err != nil {
					return after, Size{}, err
				}
			}
			after.contents[content] = true
		}
		if before.entries[h.Name] != entry {
			if err := entries.add(h, data); err != nil {
				return after, Size{}, err
			}
		}
		after.entries[h.Name] = entry
	}
	var s Size
	if s.Contents, err = contents.close(); err != nil {
		return after, Size{}, err
	}
	s.Entries, err = entries.close()
	return after, s, err
}

// An archive is a compressed tar of which only the size is wanted.
type archive struct {
	tar *tar.Writer
	zip *zstd.Encoder
	n   int64
}

func newArchive() (*archive, error) {
	a := &archive{}
	var err error
	if a.zip, err = zstd.NewWriter(a, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(64<<20), zstd.WithEncoderConcurrency(1)); err != nil {
		return nil, fmt.Errorf("compressing changes: %w", err)
	}
	a.tar = tar.NewWriter(a.zip)
	return a, nil
}

func (a *archive) Write(p []byte) (int, error) {
	a.n += int64(len(p))
	return len(p), nil
}

func (a *archive) add(h *tar.Header, data []byte) error {
	if err := a.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("compressing changes: %w", err)
	}
	if _, err := a.tar.Write(data); err != nil {
		return fmt.Errorf("compressing changes: %w", err)
	}
	return nil
}

func (a *archive) close() (int64, error) {
	if err := errors.Join(a.tar.Close(), a.zip.Close()); err != nil {
		return 0, fmt.Errorf("compressing changes: %w", err)
	}
	return a.n, nil
}
