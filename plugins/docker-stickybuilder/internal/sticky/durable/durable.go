// Package durable writes files so that they survive a crash of the machine:
// either the old or the new contents are found afterwards, never a mixture.
package durable

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteFile puts data under path by way of a temporary file beside it: write,
// fsync, rename, fsync of the directory. After an error the old file is as it
// was and no temporary file is left.
func WriteFile(path string, data []byte, perm os.FileMode) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".tmp-"+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err = tmp.Chmod(perm); err != nil {
		return err
	}
	if _, err = tmp.Write(data); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// WriteJSON is WriteFile of v as indented JSON with a newline at its end.
func WriteJSON(path string, v any, perm os.FileMode) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(data, '\n'), perm)
}

// maxJSON bounds what ReadJSON takes in; the files here hold a few kilobytes.
const maxJSON = 16 << 20

// ErrDamaged means that a file was read and holds something else than it should.
var ErrDamaged = errors.New("it is damaged")

// ReadJSON decodes the file at path into v. A missing file gives an error that
// matches fs.ErrNotExist, and one that is no such JSON an error that matches ErrDamaged.
func ReadJSON(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err != nil {
		return err
	}
	if len(data) > maxJSON {
		return fmt.Errorf("reading %s: %w: more than %d bytes", path, ErrDamaged, maxJSON)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reading %s: %w: %w", path, ErrDamaged, err)
	}
	return nil
}

// SyncDir makes renames and creations in dir permanent.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// SyncSince is SyncFilesystem of the filesystem that holds f, and also fails if
// anything could not be written back to it since f was opened.
func SyncSince(f *os.File) error {
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: f.Name(), Err: err}
	}
	return nil
}

// SyncFilesystem writes back everything that is dirty on the filesystem that
// holds path. It is how a whole tree is made permanent at once, also the parts
// that their writer never synced.
func SyncFilesystem(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return SyncSince(d)
}
