package layertest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
)

// Beside makes one stack of many, each below a directory of its own. A nil stack
// leaves its directory out.
func Beside(t testing.TB, stacks [][][]byte) [][]byte {
	t.Helper()
	var merged [][]Entry
	for i, stack := range stacks {
		for k, data := range stack {
			if k == len(merged) {
				merged = append(merged, nil)
			}
			if k == 0 {
				merged[k] = append(merged[k], Dir(place(i)))
			}
			merged[k] = append(merged[k], below(t, place(i), data)...)
		}
	}
	return layersOf(t, merged...)
}

// Together makes one stack of many cases, and what is expected of it. Cases that
// mean something at the root only stay away.
func Together(t testing.TB, cases []Case) (layers [][]byte, want []Entry) {
	t.Helper()
	stacks := make([][][]byte, len(cases))
	for i, c := range cases {
		if c.AtRoot {
			continue
		}
		stacks[i] = c.Layers
		prefix := place(i)
		want = append(want, Dir(prefix))
		for _, e := range c.Want {
			e.Name = path.Join(prefix, e.Name)
			if e.Name == prefix {
				want = want[:len(want)-1]
			}
			if e.Typeflag == tar.TypeLink {
				e.Linkname = path.Join(prefix, e.Linkname)
			}
			want = append(want, e)
		}
	}
	return Beside(t, stacks), want
}

// below returns the entries of a layer with other names.
func below(t testing.TB, prefix string, data []byte) (out []Entry) {
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		e := Entry{Header: tar.Header{
			Name: prefix + "/" + h.Name, Typeflag: h.Typeflag, Linkname: h.Linkname, Mode: h.Mode, Uid: h.Uid, Gid: h.Gid,
			ModTime: h.ModTime, Devmajor: h.Devmajor, Devminor: h.Devminor, PAXRecords: map[string]string{}, Format: tar.FormatPAX,
		}, Body: string(body)}
		switch h.Typeflag {
		case tar.TypeLink:
			e.Linkname = prefix + "/" + h.Linkname
		case tar.TypeGNUSparse, tar.TypeCont:
			e.Typeflag = tar.TypeReg
		}
		for k, v := range h.PAXRecords {
			if strings.HasPrefix(k, "SCHILY.xattr.") {
				e.PAXRecords[k] = v
			}
		}
		out = append(out, e)
	}
}

// place is the directory of the case of that number.
func place(i int) string { return fmt.Sprintf("c%03d", i) }

// Shown leaves out of a description of all cases, which [Together] has put
// together, those that a judge cannot show.
func Shown(judge Judge, cases []Case, lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		for i, c := range cases {
			if c.Lost[judge] != "" && strings.HasPrefix(line, `"`+place(i)+"/") {
				return true
			}
		}
		return false
	})
}
