package files

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// ErrIgnored says that .dockerignore keeps a path out of the build context.
var ErrIgnored = errors.New("excluded by " + IgnoreFile)

var errOutside = errors.New("symbolic link leads out of the project")

// maxLinks bounds the links that are followed from one path.
const maxLinks = 40

// Inventory lists name and, for a directory, all that is below it and in the
// build context, ordered by path. Symbolic links on the way to name are listed and
// followed, as COPY does; links below name are listed only.
//
// Files that docker stitch has rendered are left out: they follow from the
// inputs and would otherwise be inputs of themselves. [Tree.Derived] lists them.
//
// The error wraps fs.ErrNotExist or [ErrIgnored] where there is nothing.
func (t *Tree) Inventory(name string) ([]Entry, error) { return t.known(name, false) }

// InventoryLinked lists what [Tree.Inventory] does, and all that links below name
// lead to: COPY follows a link that a pattern matches.
func (t *Tree) InventoryLinked(name string) ([]Entry, error) { return t.known(name, true) }

// Parents lists the directories that name lies in, without their content.
func (t *Tree) Parents(name string) ([]Entry, error) {
	var entries []Entry
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		info, err := t.root.Stat(filepath.FromSlash(dir))
		if err != nil {
			return nil, plain(err)
		}
		entries = append(entries, Entry{Path: dir, Type: "dir", Mode: mode(info)})
	}
	return entries, nil
}

func (t *Tree) known(name string, follow bool) ([]Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := inventoryKey{name, follow}
	found, ok := t.inventories[key]
	if !ok {
		w := walk{tree: t, follow: follow, seen: map[string]bool{}}
		if found.err = w.from(name); found.err == nil {
			sort.Slice(w.entries, func(i, j int) bool { return w.entries[i].Path < w.entries[j].Path })
			found.entries = w.entries
		}
		t.inventories[key] = found
	}
	return found.entries, found.err
}

// Derived lists the files that inventories left out because docker stitch has
// rendered them, and the directories that hold nothing else.
func (t *Tree) Derived() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.derived))
}

type walk struct {
	tree    *Tree
	follow  bool
	entries []Entry
	seen    map[string]bool
	derived int // how many files and directories were left out as rendered
}

// from adds name, the links on the way to it, and what is below it.
func (w *walk) from(name string) error {
	real, info, err := w.resolve(name)
	if err != nil {
		return err
	}
	hidden, err := w.tree.ignored(real)
	if err != nil {
		return err
	}
	before := len(w.entries)
	if err := w.add(real, info); err != nil {
		return err
	}
	if hidden && len(w.entries) == before {
		return ErrIgnored
	}
	return nil
}

// resolve returns where name leads through symbolic links, each of which it adds.
func (w *walk) resolve(name string) (real string, info fs.FileInfo, err error) {
	real, links, absolute := ".", 0, false
	for rest := strings.Split(name, "/"); len(rest) > 0; {
		element := rest[0]
		rest = rest[1:]
		switch element {
		case "", ".":
			continue
		case "..":
			if real == "." {
				return "", nil, errOutside
			}
			real = path.Dir(real)
			continue
		}
		next := path.Join(real, element)
		info, err := w.tree.root.Lstat(filepath.FromSlash(next))
		if absolute && errors.Is(err, fs.ErrNotExist) {
			return "", nil, errOutside
		}
		if err != nil {
			return "", nil, plain(err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			real = next
			continue
		}
		if links++; links > maxLinks {
			return "", nil, errors.New("too many symbolic links")
		}
		target, err := w.link(next, info)
		if err != nil {
			return "", nil, err
		}
		if path.IsAbs(target) {
			// BuildKit starts at the root of the context, where the author saw that of
			// the system.
			real, absolute = ".", true
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	info, err = w.tree.root.Lstat(filepath.FromSlash(real))
	return real, info, plain(err)
}

// link adds a symbolic link and returns its target.
func (w *walk) link(name string, info fs.FileInfo) (string, error) {
	if hidden, err := w.tree.ignored(name); err != nil || hidden {
		return "", cmp.Or(err, ErrIgnored)
	}
	e, _, err := w.tree.entry(name, info)
	if err != nil {
		return "", err
	}
	if !w.seen[name] {
		w.seen[name] = true
		w.entries = append(w.entries, e)
	}
	return e.Target, nil
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
		w.leaveOut(name)
		return nil
	}
	w.entries = append(w.entries, e)
	if e.Type != "link" || !w.follow {
		return nil
	}
	// Nothing may be where it leads, or nothing that COPY can take; then the builder
	// finds nothing either.
	counted := w.derived
	_ = w.from(name)
	w.derived = counted
	return nil
}

func (w *walk) leaveOut(name string) {
	w.derived++
	w.tree.derived[name] = true
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
		w.derived = derived
		w.leaveOut(name)
		return nil
	}
	w.derived = derived
	// A hidden directory is in the context only for what is shown inside.
	if !hidden || len(w.entries) > before {
		w.entries = append(w.entries, Entry{Path: name, Type: "dir", Mode: mode(info)})
	}
	return nil
}
