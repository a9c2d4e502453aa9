// Package treefs takes tree indexes from directories and makes directories of them.
//
// [Scan] describes a directory, and knows from an earlier description what in it was
// not touched since, without reading it. [Diff] and an [Applier] change a directory that
// is one tree into another tree. Nothing here follows a symbolic link or leaves the
// directory, whatever a tree says.
package treefs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

// A Stat tells whether a name stands for the same file as before and whether that was
// touched: nobody can set either.
type Stat struct {
	Inode   uint64
	Changed int64 // nanoseconds
}

// A Baseline is what a directory was at some time. Stats belong to the tree's
// entries, one for each; without them every file is taken for changed.
type Baseline struct {
	Tree  *treeindex.Tree
	Stats []Stat
}

// A Scanned is a directory's description. The Content of Changed entries, regular files
// with something in them, is not known.
type Scanned struct {
	Baseline
	Changed []int
}

// Scan describes the directory root as it differs from base, which may be nil. What
// skip says is left out, with all that is below it.
func Scan(ctx context.Context, root string, base *Baseline, skip func(path string) bool) (*Scanned, error) {
	s := &scanner{ctx: ctx, root: root, base: base, skip: skip, links: map[uint64]string{}}
	s.out.Tree = &treeindex.Tree{}
	if base != nil && len(base.Stats) != len(base.Tree.Entries) {
		s.base = nil
	}
	if err := s.dir(""); err != nil {
		return nil, fmt.Errorf("describing %s: %w", root, err)
	}
	return &s.out, nil
}

type scanner struct {
	ctx   context.Context
	root  string
	base  *Baseline
	next  int // of the base's entries
	skip  func(string) bool
	links map[uint64]string // first name of each file with several
	out   Scanned
}

func (s *scanner) dir(path string) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	names, err := os.ReadDir(filepath.Join(s.root, path))
	if err != nil {
		return err
	}
	for _, n := range names {
		child := n.Name()
		if path != "" {
			child = path + "/" + child
		}
		if s.skip != nil && s.skip(child) {
			continue
		}
		if err := s.entry(child); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) entry(path string) error {
	full := filepath.Join(s.root, path)
	var st unix.Stat_t
	if err := unix.Lstat(full, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: full, Err: err}
	}
	kind, err := kindOf(st.Mode)
	if err != nil {
		return fmt.Errorf("%s: %w", full, err)
	}
	stat := Stat{st.Ino, st.Ctim.Nano()}
	e := treeindex.Entry{Path: path, Kind: kind}
	if st.Nlink > 1 && kind != treeindex.Dir {
		if first, ok := s.links[st.Ino]; ok {
			e.Kind, e.Target = treeindex.Hardlink, first
			s.add(e, stat)
			return nil
		}
		s.links[st.Ino] = path
	}
	if known := s.untouched(path, stat); known != nil && known.Kind == kind {
		e = *known
		e.Path = path // a hard link's first name may be another one now
		s.add(e, stat)
	} else {
		if err := describe(&e, full, &st); err != nil {
			return err
		}
		if kind == treeindex.File && e.Size > 0 {
			s.out.Changed = append(s.out.Changed, len(s.out.Tree.Entries))
		}
		s.add(e, stat)
	}
	if kind == treeindex.Dir {
		return s.dir(path)
	}
	return nil
}

func (s *scanner) add(e treeindex.Entry, st Stat) {
	s.out.Tree.Entries = append(s.out.Tree.Entries, e)
	s.out.Stats = append(s.out.Stats, st)
}

// untouched returns what the base knows of path, if that is the same file, with the
// same contents and attributes.
func (s *scanner) untouched(path string, now Stat) *treeindex.Entry {
	if s.base == nil {
		return nil
	}
	entries := s.base.Tree.Entries
	for s.next < len(entries) && treeindex.Compare(entries[s.next].Path, path) < 0 {
		s.next++
	}
	if s.next == len(entries) || entries[s.next].Path != path || s.base.Stats[s.next] != now {
		return nil
	}
	e := &entries[s.next]
	if e.Kind == treeindex.Hardlink {
		return s.base.Tree.Find(e.Target)
	}
	return e
}

func kindOf(mode uint32) (treeindex.Kind, error) {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return treeindex.File, nil
	case unix.S_IFDIR:
		return treeindex.Dir, nil
	case unix.S_IFLNK:
		return treeindex.Symlink, nil
	case unix.S_IFCHR:
		return treeindex.CharDev, nil
	case unix.S_IFBLK:
		return treeindex.BlockDev, nil
	case unix.S_IFIFO:
		return treeindex.Fifo, nil
	case unix.S_IFSOCK:
		return treeindex.Socket, nil
	}
	return 0, fmt.Errorf("unknown kind of file, mode %o", mode)
}

func describe(e *treeindex.Entry, full string, st *unix.Stat_t) (err error) {
	e.Mode, e.UID, e.GID = st.Mode&0o7777, st.Uid, st.Gid
	e.Seconds, e.Nanos = st.Mtim.Sec, uint32(st.Mtim.Nsec)
	switch e.Kind {
	case treeindex.File:
		e.Size = st.Size
	case treeindex.Symlink:
		if e.Target, err = os.Readlink(full); err != nil {
			return err
		}
	case treeindex.CharDev, treeindex.BlockDev:
		e.Major, e.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	}
	e.Xattrs, err = readXattrs(full)
	return err
}

// Stats walks a directory that is known to be t and returns the present Stat of each
// entry, for a later Scan. A name that is missing gets none.
func Stats(ctx context.Context, root string, t *treeindex.Tree) ([]Stat, error) {
	out := make([]Stat, len(t.Entries))
	for i := range t.Entries {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var st unix.Stat_t
		if unix.Lstat(filepath.Join(root, t.Entries[i].Path), &st) == nil {
			out[i] = Stat{st.Ino, st.Ctim.Nano()}
		}
	}
	return out, nil
}
