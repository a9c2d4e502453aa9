package treeindex

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
)

// ErrNewer means that a part has a version that this package does not know.
var ErrNewer = errors.New("the tree index has a newer format")

var errShort = errors.New("it ends early")

// Decode reads the parts of a tree in their order. What it returns holds together,
// whatever the parts are: every entry is in a directory that comes before it, every
// chunk is in its pack, and no path leads out of the tree.
func Decode(parts [][]byte) (*Tree, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	t := &Tree{Places: map[chunk.ID]chunk.Location{}}
	d := decoder{tree: t, packs: map[chunk.ID]*chunk.Pack{}}
	for i, data := range parts {
		raw, err := z.DecodeAll(data, nil)
		if err == nil {
			if d.total += len(raw); d.total > maxAllRaw {
				err = errors.New("it is too big")
			} else {
				err = d.part(raw)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("reading part %d of %d of a tree index: %w", i+1, len(parts), err)
		}
	}
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Kind == Hardlink {
			if first := t.Find(e.Target); first == nil || first.Kind == Dir || first.Kind == Hardlink || Compare(first.Path, e.Path) > 0 {
				return nil, fmt.Errorf("reading a tree index: %q is a link to nothing", e.Path)
			}
		}
	}
	return t, nil
}

// A decoder reads parts one after the other.
type decoder struct {
	tree   *Tree
	packs  map[chunk.ID]*chunk.Pack // one for all parts
	total  int
	pieces int      // of all files
	dirs   []string // that the next entry may be in: each is in the one before

	in     []byte
	err    error
	chunks []located
}

type located struct {
	id   chunk.ID
	size int
}

func (d *decoder) part(raw []byte) error {
	d.in, d.err, d.chunks = raw, nil, nil
	head := d.take(len(magic))
	switch {
	case d.err != nil || !bytes.Equal(head[:7], magic[:7]):
		return errors.New("it is no tree index")
	case head[7] > magic[7]:
		return fmt.Errorf("%w: version %d, and this one reads up to %d", ErrNewer, head[7], magic[7])
	}
	packs, err := d.readPacks()
	if err != nil {
		return err
	}
	if err := d.readChunks(packs); err != nil {
		return err
	}
	last := ""
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		if len(d.tree.Entries) >= maxEntries {
			return errors.New("it has too many entries")
		}
		e := d.entry(last)
		if d.err != nil {
			break
		}
		if err := d.admit(e); err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
		last = e.Path
	}
	if d.err == nil && len(d.in) > 0 {
		return errors.New("it goes on after its end")
	}
	return d.err
}

func (d *decoder) readPacks() (packs []*chunk.Pack, err error) {
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		var p chunk.Pack
		copy(p.Digest[:], d.take(len(p.Digest)))
		p.Size, p.Raw, p.Encoding = int64(d.uint()), int64(d.uint()), chunk.Encoding(d.byte())
		if d.err == nil && (p.Size <= 0 || p.Size > chunk.MaxPack || p.Raw <= 0 || p.Raw > chunk.MaxRaw || p.Encoding > chunk.Zstd) {
			return nil, fmt.Errorf("pack %s has a size or encoding that none can have", p.Digest)
		}
		known, ok := d.packs[p.Digest]
		if !ok {
			known = &p
			d.packs[p.Digest] = known
		} else if *known != p {
			return nil, fmt.Errorf("pack %s is described in two ways", p.Digest)
		}
		packs = append(packs, known)
	}
	return packs, d.err
}

func (d *decoder) readChunks(packs []*chunk.Pack) error {
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		var c located
		copy(c.id[:], d.take(len(c.id)))
		pack, offset, size := d.uint(), d.uint(), d.uint()
		if d.err != nil {
			break
		}
		if pack >= uint64(len(packs)) || size == 0 || size > chunk.MaxSize || offset > chunk.MaxRaw || int64(offset+size) > packs[pack].Raw {
			return fmt.Errorf("chunk %s is not in its pack", c.id)
		}
		c.size = int(size)
		d.chunks = append(d.chunks, c)
		if _, ok := d.tree.Places[c.id]; !ok {
			d.tree.Places[c.id] = chunk.Location{Pack: packs[pack], Offset: int64(offset)}
		}
	}
	return d.err
}

func (d *decoder) entry(last string) (e Entry) {
	shared := d.uint()
	if shared > uint64(len(last)) {
		d.fail(errors.New("a path has more in common with the one before than that has"))
		return e
	}
	e.Path = last[:shared] + d.text(maxPath)
	e.Kind = Kind(d.byte())
	if e.Kind == Hardlink {
		e.Target = d.text(maxPath)
		return e
	}
	e.Mode, e.UID, e.GID = d.uint32(), d.uint32(), d.uint32()
	e.Seconds, e.Nanos = d.int(), d.uint32()
	n := d.uint()
	if n > maxXattrs {
		d.fail(errors.New("it has too many attributes"))
	}
	for ; n > 0 && d.err == nil; n-- {
		x := Xattr{d.text(maxName), d.text(maxXattr)}
		if last := len(e.Xattrs) - 1; x.Name == "" || (last >= 0 && e.Xattrs[last].Name >= x.Name) {
			d.fail(errors.New("its attributes are out of order"))
		}
		e.Xattrs = append(e.Xattrs, x)
	}
	switch e.Kind {
	case File:
		d.content(&e)
	case Symlink:
		e.Target = d.text(maxTarget)
	case CharDev, BlockDev:
		e.Major, e.Minor = d.uint32(), d.uint32()
	case Dir, Fifo, Socket:
	default:
		d.fail(fmt.Errorf("entry of an unknown kind %q", e.Kind))
	}
	return e
}

func (d *decoder) content(e *Entry) {
	e.Size = int64(d.uint())
	if e.Size < 0 {
		d.fail(errors.New("a file has a negative size"))
	}
	var end int64
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		hole, no := int64(d.uint()), d.uint()
		if d.err != nil {
			return
		}
		if no >= uint64(len(d.chunks)) || hole < 0 || hole > e.Size-end {
			d.fail(errors.New("a file has contents beyond its end"))
			return
		}
		c := d.chunks[no]
		if end += hole; int64(c.size) > e.Size-end {
			d.fail(errors.New("a file has contents beyond its end"))
			return
		}
		end += int64(c.size)
		if d.pieces++; d.pieces > maxPieces {
			d.fail(errors.New("its files have too many pieces"))
			return
		}
		e.Content = append(e.Content, Piece{Hole: hole, Size: c.size, ID: c.id})
	}
}

// admit appends an entry that has a place in the tree.
func (d *decoder) admit(e Entry) error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	if n := len(d.tree.Entries); n > 0 && Compare(d.tree.Entries[n-1].Path, e.Path) >= 0 {
		return errors.New("it is out of order")
	}
	if e.Mode > 0o7777 || e.Nanos >= 1e9 {
		return errors.New("it has a mode or time that none can have")
	}
	if e.Kind == Symlink && (e.Target == "" || bytes.IndexByte([]byte(e.Target), 0) >= 0) {
		return errors.New("it is a link to nothing")
	}
	in := parent(e.Path)
	for len(d.dirs) > 0 && d.dirs[len(d.dirs)-1] != in {
		d.dirs = d.dirs[:len(d.dirs)-1]
	}
	if in != "" && len(d.dirs) == 0 {
		return errors.New("it is in no directory")
	}
	if e.Kind == Dir {
		d.dirs = append(d.dirs, e.Path)
	}
	d.tree.Entries = append(d.tree.Entries, e)
	return nil
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n > len(d.in) {
		d.fail(errShort)
		return make([]byte, min(n, 64))
	}
	b := d.in[:n]
	d.in = d.in[n:]
	return b
}

func (d *decoder) byte() byte { return d.take(1)[0] }

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.in)
	if n <= 0 || d.err != nil {
		d.fail(errShort)
		return 0
	}
	d.in = d.in[n:]
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uint()
	if v > 1<<32-1 {
		d.fail(errors.New("a number is too big"))
	}
	return uint32(v)
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.in)
	if n <= 0 || d.err != nil {
		d.fail(errShort)
		return 0
	}
	d.in = d.in[n:]
	return v
}

func (d *decoder) text(most int) string {
	n := d.uint()
	if n > uint64(most) {
		d.fail(errors.New("a name or value is too long"))
	}
	if d.err != nil {
		return ""
	}
	return string(d.take(int(n)))
}
