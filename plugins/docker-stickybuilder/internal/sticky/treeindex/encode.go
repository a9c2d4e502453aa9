package treeindex

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
)

// magic begins a part; the last byte is the version of the format.
var magic = [8]byte{'s', 't', 'i', 'c', 'k', 'y', 'i', 1}

// Bounds of parts. One ends after a path whose checksum is a multiple of cutEvery, if
// it has some entries by then, and at the latest when it is big.
const (
	minPart   = 512
	cutEvery  = 2048
	maxPart   = 1 << 14
	bigPart   = 8 << 20
	maxRaw    = 256 << 20 // of one part, decompressed
	maxAllRaw = 2 << 30   // of all parts of a tree
)

// MaxPart is the size of the biggest part in bytes, and MaxParts of all parts of a tree.
const (
	MaxPart  = maxRaw
	MaxParts = maxAllRaw
)

// Encode returns the parts of a tree, each of which is a blob. Equal trees have
// equal parts. cut, which may be nil, says after which other paths a part shall end.
func Encode(t *Tree, cut func(path string) bool) ([][]byte, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	var parts [][]byte
	p := newPart(t)
	for i := range t.Entries {
		e := &t.Entries[i]
		p.add(e)
		if (p.entries >= minPart && crc32.ChecksumIEEE([]byte(e.Path))%cutEvery == 0) || p.entries >= maxPart || (cut != nil && cut(e.Path)) || len(p.body)+len(p.chunks) >= bigPart {
			parts = append(parts, z.EncodeAll(p.bytes(), nil))
			p = newPart(t)
		}
	}
	if p.entries > 0 || len(parts) == 0 {
		parts = append(parts, z.EncodeAll(p.bytes(), nil))
	}
	return parts, nil
}

// A part is one being encoded.
type part struct {
	tree    *Tree
	packs   []byte
	packNo  map[*chunk.Pack]uint64
	chunks  []byte
	chunkNo map[chunk.ID]uint64
	body    []byte
	entries int
	last    string
}

func newPart(t *Tree) *part {
	return &part{tree: t, packNo: map[*chunk.Pack]uint64{}, chunkNo: map[chunk.ID]uint64{}}
}

func (p *part) bytes() []byte {
	out := append([]byte(nil), magic[:]...)
	out = binary.AppendUvarint(out, uint64(len(p.packNo)))
	out = append(out, p.packs...)
	out = binary.AppendUvarint(out, uint64(len(p.chunkNo)))
	out = append(out, p.chunks...)
	out = binary.AppendUvarint(out, uint64(p.entries))
	return append(out, p.body...)
}

func (p *part) add(e *Entry) {
	shared := 0
	for shared < len(e.Path) && shared < len(p.last) && e.Path[shared] == p.last[shared] {
		shared++
	}
	p.last = e.Path
	p.entries++
	p.uint(uint64(shared))
	p.text(e.Path[shared:])
	p.body = append(p.body, byte(e.Kind))
	if e.Kind == Hardlink {
		p.text(e.Target)
		return
	}
	p.uint(uint64(e.Mode))
	p.uint(uint64(e.UID))
	p.uint(uint64(e.GID))
	p.body = binary.AppendVarint(p.body, e.Seconds)
	p.uint(uint64(e.Nanos))
	p.uint(uint64(len(e.Xattrs)))
	for _, x := range e.Xattrs {
		p.text(x.Name)
		p.text(x.Value)
	}
	switch e.Kind {
	case File:
		p.uint(uint64(e.Size))
		p.uint(uint64(len(e.Content)))
		for _, c := range e.Content {
			p.uint(uint64(c.Hole))
			p.uint(p.chunk(c))
		}
	case Symlink:
		p.text(e.Target)
	case CharDev, BlockDev:
		p.uint(uint64(e.Major))
		p.uint(uint64(e.Minor))
	}
}

func (p *part) chunk(c Piece) uint64 {
	if n, ok := p.chunkNo[c.ID]; ok {
		return n
	}
	at := p.tree.Places[c.ID]
	pack, ok := p.packNo[at.Pack]
	if !ok {
		pack = uint64(len(p.packNo))
		p.packNo[at.Pack] = pack
		p.packs = append(p.packs, at.Pack.Digest[:]...)
		p.packs = binary.AppendUvarint(p.packs, uint64(at.Pack.Size))
		p.packs = binary.AppendUvarint(p.packs, uint64(at.Pack.Raw))
		p.packs = append(p.packs, byte(at.Pack.Encoding))
	}
	n := uint64(len(p.chunkNo))
	p.chunkNo[c.ID] = n
	p.chunks = append(p.chunks, c.ID[:]...)
	p.chunks = binary.AppendUvarint(p.chunks, pack)
	p.chunks = binary.AppendUvarint(p.chunks, uint64(at.Offset))
	p.chunks = binary.AppendUvarint(p.chunks, uint64(c.Size))
	return n
}

func (p *part) uint(n uint64) { p.body = binary.AppendUvarint(p.body, n) }

func (p *part) text(s string) {
	p.uint(uint64(len(s)))
	p.body = append(p.body, s...)
}
