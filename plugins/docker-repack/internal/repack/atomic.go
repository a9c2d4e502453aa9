package repack

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// writeAtomically writes a file that is seen as a whole or not at all.
func writeAtomically(name string, write func(f *os.File) error) error {
	f, err := newUnnamed(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer f.discard()
	if err := write(f.File); err != nil {
		return err
	}
	return f.publish(name)
}

// temporaryPrefix begins the names of files that are not complete.
const temporaryPrefix = ".docker-repack-"

// unnamed is a file that disappears with the process unless it is published. Where
// the system has no such files it has a temporary name.
type unnamed struct {
	*os.File
	name string // "" if it has none
}

func newTemporary(dir string) (*unnamed, error) {
	// Unlike os.CreateTemp, which knows no umask.
	name := filepath.Join(dir, temporaryPrefix+rand.Text())
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return &unnamed{f, name}, nil
}

// checkWritable is an error if no file can be made in dir, or in what of it there is.
func checkWritable(dir string) error {
	for parent := filepath.Dir(dir); parent != dir; parent = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		dir = parent
	}
	f, err := newUnnamed(dir)
	if err == nil {
		f.discard()
	}
	return err
}

// publish gives the file its name, in place of a file that has it.
func (u *unnamed) publish(name string) error {
	if u.name == "" {
		err := u.link(name)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		// A link replaces nothing: it takes a second name and a rename.
		other := filepath.Join(filepath.Dir(name), temporaryPrefix+rand.Text())
		if err := u.link(other); err != nil {
			return err
		}
		u.name = other
	}
	err := u.Close() // not all systems rename open files
	if err == nil {
		err = os.Rename(u.name, name)
	}
	if err == nil {
		u.name = ""
	}
	return err
}

// discard gives up what was not published.
func (u *unnamed) discard() {
	u.Close()
	if u.name != "" {
		os.Remove(u.name)
	}
}
