package files

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"sort"
	"unicode/utf8"
)

// ErrIgnored says that .dockerignore keeps a path out of the build context.
var ErrIgnored = errors.New("excluded by " + IgnoreFile)

// maxLinks bounds the links that are followed from one path.
const maxLinks = 40

// Inventory lists name and, for a directory, all that is below it and in the
// build context, ordered by path. If name is a symbolic link, what it leads to is
// listed too, as COPY follows it; links below name are not followed.
//
// Files that docker stitch has rendered are left out: they follow from the
// inputs and would otherwise be inputs of themselves.
//
// The error wraps fs.ErrNotExist or [ErrIgnored] where there is nothing.
func (t *Tree) Inventory(name string) ([]Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.inventories[name]
	if !ok {
		known.entries, known.err = t.inventory(name)
		t.inventories[name] = known
	}
	return known.entries, known.err
}

func (t *Tree) inventory(name string) ([]Entry, error) {
	w := walk{tree: t, seen: map[string]bool{}}
	for range maxLinks {
		hidden, err := t.ignored(name)
		if err != nil {
			return nil, err
		}
		if hidden && !t.mayInclude() {
			return nil, ErrIgnored
		}
		target, err := w.top(name)
		if err != nil {
			return nil, err
		}
		if target == "" {
			if hidden && len(w.entries) == 0 {
				return nil, ErrIgnored
			}
			sort.Slice(w.entries, func(i, j int) bool { return w.entries[i].Path < w.entries[j].Path })
			return w.entries, nil
		}
		name = target
	}
	return nil, errors.New("too many symbolic links")
}

type walk struct {
	tree    *Tree
	entries []Entry
	seen    map[string]bool
	derived int // how many files and directories were left out as rendered
}

// top adds name itself and what is below it. For a link it returns where the
// link leads, as a path from the root.
func (w *walk) top(name string) (string, error) {
	info, err := w.tree.root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return "", plain(err)
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return "", w.add(name, info)
	}
	if err := w.add(name, info); err != nil {
		return "", err
	}
	target := w.entries[len(w.entries)-1].Target
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(name), target)
		if !filepath.IsLocal(filepath.FromSlash(target)) {
			return "", errors.New("symbolic link leads out of the project")
		}
		return target, nil
	}
	// An absolute link starts at the root of the context, as BuildKit has it.
	return path.Join(".", target), nil
}

// add puts the entry called name on the list, and for a directory its content.
func (w *walk) add(name string, info fs.FileInfo) error {
	if w.seen[name] {
		return nil
	}
	w.seen[name] = true
	if !utf8.ValidString(name) {
		return fmt.Errorf("name %q is not valid UTF-8", w.tree.Display(name))
	}
	hidden, err := w.tree.ignored(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return w.directory(name, info, hidden)
	}
	if hidden {
		return nil
	}
	e, derived, err := w.tree.entry(name, info)
	if err != nil {
		return fmt.Errorf("reading %s: %w", w.tree.Display(name), err)
	}
	if derived {
		w.derived++
		return nil
	}
	w.entries = append(w.entries, e)
	return nil
}

func (w *walk) directory(name string, info fs.FileInfo, hidden bool) error {
	if hidden && !w.tree.mayInclude() {
		return nil
	}
	items, err := fs.ReadDir(w.tree.root.FS(), name)
	if err != nil {
		return fmt.Errorf("reading %s: %w", w.tree.Display(name), plain(err))
	}
	before, derived := len(w.entries), w.derived
	for _, item := range items {
		child := path.Join(name, item.Name())
		info, err := w.tree.root.Lstat(filepath.FromSlash(child))
		if err != nil {
			return fmt.Errorf("reading %s: %w", w.tree.Display(child), plain(err))
		}
		if err := w.add(child, info); err != nil {
			return err
		}
	}
	if len(items) > 0 && w.derived-derived == len(items) {
		// It is there for what was rendered into it.
		w.derived = derived + 1
		return nil
	}
	w.derived = derived
	// A hidden directory is in the context only for what is shown inside.
	if !hidden || len(w.entries) > before {
		w.entries = append(w.entries, Entry{Path: name, Type: "dir", Mode: mode(info)})
	}
	return nil
}
