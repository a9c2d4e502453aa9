// Package files reads a project's files and nothing outside of the project: no
// ".." and no symbolic link leads out of a [Tree].
//
// What an image can contain of a file is its bytes and mode bits, so that is what
// [Tree.Inventory] digests; times and owners do not count.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/moby/patternmatcher"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/text"
)

// A Tree is a project directory, which is also the build context. It is safe
// for concurrent use, and remembers digests: files are taken not to change while
// a tree is open.
type Tree struct {
	root    *os.Root
	display string

	ignoreOnce sync.Once
	ignore     *patternmatcher.PatternMatcher
	ignoreErr  error

	mu          sync.Mutex
	entries     map[string]Entry
	inventories map[inventoryKey]inventory
	derived     map[string]bool
}

type inventoryKey struct {
	name   string
	follow bool
}

type inventory struct {
	entries []Entry
	err     error
}

// Open opens the project in dir. Messages name its files relative to display,
// which is "" or "." where the project is the directory that the user is in.
func Open(dir, display string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening project %s: %w", dir, err)
	}
	return &Tree{root: root, display: display, entries: map[string]Entry{}, inventories: map[inventoryKey]inventory{}, derived: map[string]bool{}}, nil
}

// Close lets go of the directory.
func (t *Tree) Close() error { return t.root.Close() }

// Dir returns the directory that the tree was opened with.
func (t *Tree) Dir() string { return t.root.Name() }

// Display returns how messages should name a file of the tree.
func (t *Tree) Display(name string) string {
	return filepath.ToSlash(filepath.Join(t.display, filepath.FromSlash(name)))
}

// Clean returns the slash-separated form of a path that stands in a manifest,
// relative to the root. It refuses absolute paths, paths that leave the root, and
// control characters, which would break the lines that name the path.
func Clean(name string) (string, error) {
	if !utf8.ValidString(name) || strings.ContainsFunc(name, text.IsControl) {
		return "", fmt.Errorf("path %q has a control character", name)
	}
	clean := path.Clean(name)
	if name == "" || path.IsAbs(clean) || !filepath.IsLocal(filepath.FromSlash(clean)) {
		return "", fmt.Errorf("path %q leads out of the project", name)
	}
	return clean, nil
}

// Read returns the content of the regular file called name, which is at most
// [text.MaxSize] long.
func (t *Tree) Read(name string) ([]byte, error) {
	// To open a pipe would wait for whoever writes to it.
	info, err := t.root.Stat(filepath.FromSlash(name))
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := t.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, text.MaxSize+1))
	if err != nil {
		return nil, plain(err)
	}
	if len(data) > text.MaxSize {
		return nil, fmt.Errorf("file is larger than %d MiB", text.MaxSize>>20)
	}
	return data, nil
}

// Exists reports whether name is there, be it a file or a directory.
func (t *Tree) Exists(name string) bool {
	_, err := t.root.Stat(filepath.FromSlash(name))
	return err == nil
}

// List returns the names of the directories in the directory name; none if it
// cannot be read. It serves suggestions.
func (t *Tree) List(name string) []string {
	f, err := t.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil
	}
	defer f.Close()
	items, err := f.ReadDir(-1)
	if err != nil {
		return nil
	}
	var names []string
	for _, item := range items {
		if item.IsDir() {
			names = append(names, item.Name())
		}
	}
	return names
}

// plain drops the operation and path that package os puts before the cause: the
// caller says both in the user's terms.
func plain(err error) error {
	var pe *fs.PathError
	if !errors.As(err, &pe) {
		return err
	}
	if strings.Contains(pe.Err.Error(), "escapes from parent") {
		return errOutside
	}
	return pe.Err
}
