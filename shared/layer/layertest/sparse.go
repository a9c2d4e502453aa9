package layertest

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// A Sparse file has data of one block at the given offsets and holes elsewhere.
type Sparse struct {
	Name    string
	Size    int64
	Offsets []int64 // ascending, multiples of 512
}

// pieces are the offsets and lengths of the data; a hole at the end is told by an
// empty piece, as GNU tar does.
func (s Sparse) pieces() (out [][2]int64) {
	end := int64(0)
	for _, at := range s.Offsets {
		out = append(out, [2]int64{at, 512})
		end = at + 512
	}
	if end < s.Size {
		out = append(out, [2]int64{s.Size, 0})
	}
	return out
}

func (s Sparse) data() []byte { return []byte(strings.Repeat("d", 512*len(s.Offsets))) }

// Content is the file as programs read it.
func (s Sparse) Content() string {
	b := make([]byte, s.Size)
	for _, at := range s.Offsets {
		copy(b[at:], strings.Repeat("d", 512))
	}
	return string(b)
}

// SparseFormats are the ways in which GNU tar writes sparse files (its manual,
// appendix D.2), each as one entry.
var SparseFormats = map[string]func(Sparse) []byte{
	"GNU": Sparse.gnu, "PAX 0.0": Sparse.pax00, "PAX 0.1": Sparse.pax01, "PAX 1.0": Sparse.pax10,
}

// gnu is the old format: four pieces in the header, more in blocks that follow.
func (s Sparse) gnu() []byte {
	number := func(b []byte, n int64) { // base 256, for files of 8 GiB and more
		clear(b[:12])
		b[0] = 0x80
		binary.BigEndian.PutUint64(b[4:12], uint64(n))
	}
	var extended []byte
	head := Raw{Name: s.Name, Flag: 'S', Size: 512 * len(s.Offsets), Magic: GNU, Extra: func(h []byte) {
		number(h[483:], s.Size)
		for i, p := range s.pieces() {
			if i < 4 {
				number(h[386+24*i:], p[0])
				number(h[398+24*i:], p[1])
				continue
			}
			h[482] = 1
			k := (i - 4) % 21
			if k == 0 {
				if extended != nil {
					extended[len(extended)-8] = 1
				}
				extended = append(extended, make([]byte, 512)...)
			}
			block := extended[len(extended)-512:]
			number(block[24*k:], p[0])
			number(block[24*k+12:], p[1])
		}
	}}
	block := head.Bytes()
	return append(append(block, extended...), s.data()...)
}

func (s Sparse) pax00() []byte {
	records := []string{fmt.Sprintf("GNU.sparse.size=%d", s.Size), fmt.Sprintf("GNU.sparse.numblocks=%d", len(s.pieces()))}
	for _, p := range s.pieces() {
		records = append(records, fmt.Sprintf("GNU.sparse.offset=%d", p[0]), fmt.Sprintf("GNU.sparse.numbytes=%d", p[1]))
	}
	return s.pax(s.Name, records, s.data())
}

func (s Sparse) pax01() []byte {
	var m []string
	for _, p := range s.pieces() {
		m = append(m, fmt.Sprintf("%d,%d", p[0], p[1]))
	}
	return s.pax("GNUSparseFile.0/x", []string{
		"GNU.sparse.name=" + s.Name, fmt.Sprintf("GNU.sparse.size=%d", s.Size),
		fmt.Sprintf("GNU.sparse.numblocks=%d", len(s.pieces())), "GNU.sparse.map=" + strings.Join(m, ","),
	}, s.data())
}

func (s Sparse) pax10() []byte {
	m := fmt.Sprintf("%d\n", len(s.pieces()))
	for _, p := range s.pieces() {
		m += fmt.Sprintf("%d\n%d\n", p[0], p[1])
	}
	return s.pax("GNUSparseFile.0/x", []string{
		"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=" + s.Name, fmt.Sprintf("GNU.sparse.realsize=%d", s.Size),
	}, append(Pad(m), s.data()...))
}

func (s Sparse) pax(name string, records []string, body []byte) []byte {
	head := Raw{Name: name, Flag: '0', Size: len(body), Magic: USTAR}
	return append(append(PAX('x', records...), head.Bytes()...), body...)
}
