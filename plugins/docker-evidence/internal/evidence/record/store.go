package record

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A File is one that lies beside a record and has its name, with the suffix.
type File struct {
	Suffix string // such as ".smoke.log"
	Data   []byte
}

// Stem is the file name of r without ".json": the beginnings of the manifest's
// digest and of the record's own.
func (r Record) Stem() (string, error) {
	data, err := r.Encode()
	if err != nil {
		return "", err
	}
	_, manifest, _ := strings.Cut(r.Image.Manifest, ":")
	return fmt.Sprintf("%.12s-%.6x", manifest, sha256.Sum256(data)), nil
}

// Save writes the record to dir as STEM.json, after files as STEM and their
// suffixes, and returns the record's path. Each file appears whole or not at all,
// and the record last: a record that is there has everything that belongs to it.
// After an error nothing is left that was not there before. Saving an equal
// record again changes nothing.
func (r Record) Save(ctx context.Context, dir string, files []File) (string, error) {
	path, err := r.save(ctx, dir, files)
	if err != nil {
		return "", fmt.Errorf("writing the record to %s: %w", dir, err)
	}
	return path, nil
}

func (r Record) save(ctx context.Context, dir string, files []File) (_ string, rerr error) {
	data, err := r.Encode()
	if err != nil {
		return "", err
	}
	stem, err := r.Stem()
	if err != nil {
		return "", err
	}
	made, err := makeDir(dir)
	if err != nil {
		return "", fault.Hint(err, "choose another directory: --record-dir DIR")
	}
	var written []string
	defer func() {
		if rerr == nil {
			return
		}
		for _, path := range written {
			_ = os.Remove(path)
		}
		for _, d := range made {
			_ = os.Remove(d) // only if empty
		}
	}()
	path := filepath.Join(dir, stem+".json")
	for _, f := range append(append([]File(nil), files...), File{".json", data}) {
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
		p := filepath.Join(dir, stem+f.Suffix)
		wrote, err := writeFile(p, f.Data)
		if err != nil {
			return "", err
		}
		if wrote {
			written = append(written, p)
		}
	}
	return path, nil
}

// makeDir is os.MkdirAll that tells which directories it made, deepest first.
func makeDir(dir string) ([]string, error) {
	var missing []string
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, os.ErrNotExist) || d == filepath.Dir(d) {
			break
		}
		missing = append(missing, d)
	}
	return missing, os.MkdirAll(dir, 0o755)
}

// writeFile puts data at path by renaming, and reports whether that was needed.
func writeFile(path string, data []byte) (wrote bool, rerr error) {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return false, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".evidence-*.tmp")
	if err != nil {
		return false, err
	}
	defer func() {
		if rerr != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return false, err
	}
	if err := f.Chmod(0o644); err != nil {
		return false, err
	}
	if err := f.Sync(); err != nil {
		return false, err
	}
	if err := f.Close(); err != nil {
		return false, err
	}
	return true, os.Rename(f.Name(), path)
}
