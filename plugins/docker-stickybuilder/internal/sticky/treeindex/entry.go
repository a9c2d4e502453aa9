// Package treeindex is the description of a directory tree without its contents:
// what is in it, with all that a BuildKit root needs to be the same again, and in
// which packs of a registry the contents are.
//
// A [Tree] is encoded as parts. Where one part ends and the next begins depends on
// the names at that place alone, so that a change in one place of the tree changes
// few parts. docs/design/009-registry-disks.md is the specification.
package treeindex

import (
	"errors"
	"sort"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
)

// A Kind says what an entry is.
type Kind byte

const (
	File       Kind = 'f'
	Dir        Kind = 'd'
	Symlink    Kind = 'l'
	CharDev    Kind = 'c'
	BlockDev   Kind = 'b'
	Fifo       Kind = 'p'
	Socket     Kind = 's'
	Hardlink   Kind = 'h' // a further name of an entry before it, and nothing more
	maxPath         = 4095
	maxName         = 255
	maxTarget       = 4095
	maxXattrs       = 1024
	maxXattr        = 64 << 10
	maxEntries      = 1 << 25
	maxPieces       = 1 << 25 // of all files; two bytes of an index make one
)

// An Entry is one name in a tree.
type Entry struct {
	Path     string // relative, with slashes, any bytes
	Kind     Kind
	Mode     uint32 // the lower 12 bits of st_mode
	UID, GID uint32
	Seconds  int64 // of the time of modification
	Nanos    uint32
	Xattrs   []Xattr // sorted by name

	Size    int64 // of a File
	Content []Piece
	Target  string // of a Symlink, where to; of a Hardlink, the Path of the first name
	Major   uint32 // of a device
	Minor   uint32
}

// An Xattr is an extended attribute.
type Xattr struct{ Name, Value string }

// A Piece is a stretch of a file: a hole, and then a chunk. After the last piece the
// file is a hole to its end.
type Piece struct {
	Hole int64
	Size int
	ID   chunk.ID
}

// Filled reports whether a file's last piece ends where the file does.
func (e *Entry) Filled() bool {
	var end int64
	for _, p := range e.Content {
		end += p.Hole + int64(p.Size)
	}
	return end == e.Size
}

// A Tree is a directory tree. Its entries are in the order of [Compare], a directory
// before what is in it.
type Tree struct {
	Entries []Entry
	Places  map[chunk.ID]chunk.Location // of each chunk that an entry has
}

// Compare orders paths as a walk does that takes names in the order of their bytes.
func Compare(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] == b[i] {
			continue
		}
		if a[i] == '/' || (b[i] != '/' && a[i] < b[i]) {
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}

// Find returns the entry at path, nil if there is none.
func (t *Tree) Find(path string) *Entry {
	i := sort.Search(len(t.Entries), func(i int) bool { return Compare(t.Entries[i].Path, path) >= 0 })
	if i < len(t.Entries) && t.Entries[i].Path == path {
		return &t.Entries[i]
	}
	return nil
}

// Bytes is the size of all files, holes not counted and hard links once.
func (t *Tree) Bytes() (n int64) {
	for i := range t.Entries {
		for _, p := range t.Entries[i].Content {
			n += int64(p.Size)
		}
	}
	return n
}

// Packs lists the packs that the tree's chunks are in, each once and in the order in
// which the entries come to them, with the bytes that the tree has of each.
func (t *Tree) Packs() (packs []*chunk.Pack, live map[chunk.ID]int64) {
	live = map[chunk.ID]int64{}
	seen := map[chunk.ID]bool{}
	for i := range t.Entries {
		for _, p := range t.Entries[i].Content {
			if seen[p.ID] {
				continue
			}
			seen[p.ID] = true
			pack := t.Places[p.ID].Pack
			if _, ok := live[pack.Digest]; !ok {
				packs = append(packs, pack)
			}
			live[pack.Digest] += int64(p.Size)
		}
	}
	return packs, live
}

func checkPath(path string) error {
	if path == "" || len(path) > maxPath || strings.IndexByte(path, 0) >= 0 {
		return errors.New("a path is empty, too long or no path")
	}
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." || name == ".." || len(name) > maxName {
			return errors.New("a path leads elsewhere")
		}
	}
	return nil
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}
