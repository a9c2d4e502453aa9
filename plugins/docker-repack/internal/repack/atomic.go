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
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	return f.publish(name)
}

// unnamed is a file that disappears with the process unless it is published. Where
// the system has no such files it has a temporary name.
type unnamed struct {
	*os.File
	name string // "" if it has none
}

func newTemporary(dir string) (*unnamed, error) {
	f, err := os.CreateTemp(dir, ".docker-repack-*")
	if err != nil {
		return nil, err
	}
	return &unnamed{f, f.Name()}, nil
}

// publish gives the file its name, in place of a file that has it.
func (u *unnamed) publish(name string) error {
	if u.name == "" {
		err := u.link(name)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		// A link replaces nothing: it takes a second name and a rename.
		other := filepath.Join(filepath.Dir(name), ".docker-repack-"+rand.Text())
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
