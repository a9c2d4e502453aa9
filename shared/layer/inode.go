package layer

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// A Type is the kind of a file, spelled as in the canonical tree digest.
type Type byte

// The kinds of file that a tar entry can make on Linux.
const (
	Regular   Type = 'f'
	Directory Type = 'd'
	Symlink   Type = 'l'
	CharDev   Type = 'c'
	BlockDev  Type = 'b'
	FIFO      Type = 'p'
)

// String names the type for people.
func (t Type) String() string {
	switch t {
	case Regular:
		return "file"
	case Directory:
		return "directory"
	case Symlink:
		return "symlink"
	case CharDev:
		return "character device"
	case BlockDev:
		return "block device"
	case FIFO:
		return "fifo"
	}
	return fmt.Sprintf("type %q", byte(t))
}

// A Sum is the sha256 of a file's content.
type Sum [sha256.Size]byte

// String gives the sum in hex.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

var emptySum = Sum(sha256.Sum256(nil))

// An Xattr is one extended attribute; Value is binary.
type Xattr struct{ Name, Value string }

// A Position tells where an entry was read: which layer, counted from 0 at the
// bottom, and which entry of that layer's tar stream, counted from 0.
type Position struct{ Layer, Ordinal int32 }

// Compare orders positions from the bottom layer's first entry to the top
// layer's last.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Layer, q.Layer), cmp.Compare(p.Ordinal, q.Ordinal))
}

// An Inode is a file without its name. Paths that are hard links of each other
// have the same *Inode.
//
// Images have millions of them: the order of the fields leaves no gaps, and 128
// bytes are a size that the allocator has.
type Inode struct {
	Type Type
	// Implied marks a directory that no layer has an entry for. It has mode
	// 0755, owner 0:0 and modification time 0.
	Implied      bool
	Mode         uint32 // permission, setuid, setgid and sticky bits: 07777; symlinks: always 0777
	UID, GID     uint32
	Major, Minor uint32 // of a device
	Nsec         int32  // nanoseconds after Sec, 0 to 999999999
	Sec          int64  // modification time, seconds since 1970
	Size         int64  // bytes of a regular file's content, holes included; otherwise 0
	// Source is where the entry was read, for a regular file also where its
	// content is.
	Source Position
	Sum    Sum    // of a regular file's content; otherwise zero
	Target string // what a symlink says
	Xattrs []Xattr
}

func impliedDirectory(layer int) *Inode {
	return &Inode{Type: Directory, Mode: 0o755, Implied: true, Source: Position{Layer: int32(layer), Ordinal: -1}}
}

// equal reports whether nothing but Source differs.
func (in *Inode) equal(b *Inode) bool {
	return in.Type == b.Type && in.Implied == b.Implied && in.Mode == b.Mode && in.UID == b.UID && in.GID == b.GID &&
		in.Major == b.Major && in.Minor == b.Minor && in.Sec == b.Sec && in.Nsec == b.Nsec && in.Size == b.Size &&
		in.Sum == b.Sum && in.Target == b.Target && slices.Equal(in.Xattrs, b.Xattrs)
}

func sortXattrs(x []Xattr) {
	slices.SortFunc(x, func(a, b Xattr) int { return cmp.Compare(a.Name, b.Name) })
}
