package layer

import (
	"fmt"
	"strings"
)

// A Difference is one thing in which two trees differ.
type Difference struct {
	Path string `json:"path"`
	// What is "entry" if only one tree has the path, else the attribute: type,
	// mode, owner, size, mtime, target, device, xattrs, link or content.
	What string `json:"what"`
	// A and B are the values in the two trees; "" where there is none.
	A string `json:"a"`
	B string `json:"b"`
}

// Diff lists every difference between two trees, sorted by path.
func Diff(a, b *Tree) []Difference {
	var out []Difference
	x, y := a.entries, b.entries
	for len(x) > 0 || len(y) > 0 {
		switch {
		case len(y) == 0 || (len(x) > 0 && x[0].Path < y[0].Path):
			out = append(out, Difference{Path: x[0].Path, What: "entry", A: x[0].Type.String()})
			x = x[1:]
		case len(x) == 0 || y[0].Path < x[0].Path:
			out = append(out, Difference{Path: y[0].Path, What: "entry", B: y[0].Type.String()})
			y = y[1:]
		default:
			out = appendAttributes(out, x[0], y[0])
			x, y = x[1:], y[1:]
		}
	}
	return out
}

func appendAttributes(out []Difference, a, b Entry) []Difference {
	add := func(what, x, y string) {
		if x != y {
			out = append(out, Difference{a.Path, what, x, y})
		}
	}
	add("type", a.Type.String(), b.Type.String())
	add("mode", a.mode(), b.mode())
	add("owner", fmt.Sprintf("%d:%d", a.UID, a.GID), fmt.Sprintf("%d:%d", b.UID, b.GID))
	add("size", fmt.Sprint(a.Size), fmt.Sprint(b.Size))
	add("mtime", a.mtime(), b.mtime())
	add("target", a.Target, b.Target)
	add("device", a.device(), b.device())
	add("xattrs", xattrText(a.Xattrs), xattrText(b.Xattrs))
	add("link", a.Link, b.Link)
	add("content", a.content(), b.content())
	return out
}

func xattrText(xattrs []Xattr) string {
	var b strings.Builder
	for i, x := range xattrs {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s=%q", x.Name, x.Value)
	}
	return b.String()
}
