package layer

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"

	"github.com/opencontainers/go-digest"
)

// digestVersion begins the byte stream that the canonical tree digest is taken
// of, so that another version can never give the same digest.
const digestVersion = "dockerfactory.tree.v1"

// Digest returns the canonical tree digest: the sha256 of what [Tree.WriteCanonical]
// writes. Trees have equal digests exactly if [Diff] finds no difference.
func (t *Tree) Digest() digest.Digest {
	h := sha256.New()
	_ = t.WriteCanonical(h) // a hash does not fail
	return digest.NewDigest(digest.SHA256, h)
}

// WriteCanonical writes the byte stream that the digest is taken of, as specified
// in docs/design/001-canonical-tree-digest.md: netstrings, a fixed number for
// each entry plus two for each extended attribute.
func (t *Tree) WriteCanonical(w io.Writer) error {
	b := bufio.NewWriterSize(w, 64<<10)
	put := func(s string) {
		_, _ = fmt.Fprintf(b, "%d:%s,", len(s), s) // Flush reports what goes wrong
	}
	put(digestVersion)
	for e := range t.All() {
		put(e.Path)
		put(string(rune(e.Type)))
		put(e.mode())
		put(strconv.FormatUint(uint64(e.UID), 10))
		put(strconv.FormatUint(uint64(e.GID), 10))
		put(strconv.FormatInt(e.Size, 10))
		put(e.mtime())
		put(e.Target)
		put(e.device())
		put(strconv.Itoa(len(e.Xattrs)))
		for _, x := range e.Xattrs {
			put(x.Name)
			put(x.Value)
		}
		put(e.Link)
		put(e.content())
	}
	return b.Flush()
}

func (in *Inode) mode() string { return fmt.Sprintf("%04o", in.Mode) }

func (in *Inode) mtime() string { return fmt.Sprintf("%d.%09d", in.Sec, in.Nsec) }

func (in *Inode) device() string {
	if in.Type != CharDev && in.Type != BlockDev {
		return ""
	}
	return fmt.Sprintf("%d:%d", in.Major, in.Minor)
}

func (in *Inode) content() string {
	if in.Type != Regular {
		return ""
	}
	return in.Sum.String()
}
