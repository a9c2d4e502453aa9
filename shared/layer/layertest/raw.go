package layertest

import (
	"bytes"
	"fmt"
	"strings"
)

// A Raw header is a block of 512 bytes in a tar stream, for what archive/tar reads
// and does not write. Numbers are octal; the checksum is filled in.
type Raw struct {
	Name, Link string
	Flag       byte
	Size       int
	Magic      string       // "" for a v7 header; else the 8 bytes of magic and version
	Extra      func([]byte) // changes the block before its checksum is taken
}

// The values of Raw.Magic.
const (
	USTAR = "ustar\x0000"
	GNU   = "ustar  \x00"
)

// Bytes returns the block.
func (r Raw) Bytes() []byte {
	h := make([]byte, 512)
	copy(h, r.Name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00", r.Size))
	copy(h[136:], fmt.Sprintf("%011o\x00", When.Unix()))
	h[156] = r.Flag
	copy(h[157:], r.Link)
	copy(h[257:], r.Magic)
	if r.Extra != nil {
		r.Extra(h)
	}
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// Pad fills data up to whole blocks.
func Pad(data string) []byte {
	return []byte(data + strings.Repeat("\x00", (512-len(data)%512)%512))
}

// PAX returns an extended header with the given records, each key=value, in this
// order; flag is 'x' for the next entry, 'g' for all that follow.
func PAX(flag byte, records ...string) []byte {
	var b strings.Builder
	for _, kv := range records {
		n := len(kv) + 3
		for len(fmt.Sprint(n))+len(kv)+2 != n {
			n = len(fmt.Sprint(n)) + len(kv) + 2
		}
		fmt.Fprintf(&b, "%d %s\n", n, kv)
	}
	head := Raw{Name: "PaxHeaders/x", Flag: flag, Size: b.Len(), Magic: USTAR}
	return append(head.Bytes(), Pad(b.String())...)
}

// Archive joins parts of a tar stream and ends it.
func Archive(parts ...[]byte) []byte {
	return append(bytes.Join(parts, nil), make([]byte, 1024)...)
}

// entries returns Tar's stream without its end.
func entries(data []byte) []byte { return data[:len(data)-1024] }
