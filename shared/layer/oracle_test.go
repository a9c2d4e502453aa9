package layer_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	"github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

func merge(t testing.TB, layers ...[]byte) *layer.Tree {
	t.Helper()
	tree, err := tryMerge(t, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func tryMerge(t testing.TB, layers ...[]byte) (*layer.Tree, error) {
	sets := make([]*layer.Changeset, len(layers))
	for i, data := range layers {
		var err error
		if sets[i], err = layer.Scan(t.Context(), bytes.NewReader(data), layer.Options{}); err != nil {
			return nil, err
		}
	}
	return layer.Merge(sets)
}

// naive is an oracle that shares no code and no idea with the package: a flat map
// from path to file, on which removing a directory means to look at every path. It
// follows no symlinks, which random layers do not ask for.
type naive map[string]*naiveFile

type naiveFile struct{ kind, attributes string }

func (n naive) remove(p string, self bool) {
	for q := range n {
		if (self && q == p) || p == "." || strings.HasPrefix(q, p+"/") {
			delete(n, q)
		}
	}
}

func (n naive) apply(t testing.TB, data []byte) {
	type item struct {
		h    *tar.Header
		name string
		body []byte
	}
	var items []item
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r)
		items = append(items, item{h, path.Join("/", h.Name)[1:], body})
	}
	before := maps.Clone(n)
	for _, it := range items {
		dir, base := path.Dir(it.name), path.Base(it.name)
		switch {
		case base == ".wh..wh..opq":
			n.remove(dir, false)
		case strings.HasPrefix(base, ".wh."):
			n.remove(path.Join(dir, base[4:]), true)
		}
	}
	for _, it := range items {
		var above []string
		for d := path.Dir(it.name); d != "."; d = path.Dir(d) {
			above = append(above, d)
		}
		for _, d := range slices.Backward(above) {
			if n[d] == nil || n[d].kind != "d" {
				n[d] = &naiveFile{"d", "0755 0:0 0 0.000000000"}
			}
		}
		if strings.HasPrefix(path.Base(it.name), ".wh.") {
			continue
		}
		h := it.h
		if h.Typeflag == tar.TypeLink {
			target := path.Join("/", h.Linkname)[1:]
			f := n[target]
			if f == nil {
				f = before[target]
			}
			n.remove(it.name, true)
			n[it.name] = f
			continue
		}
		kind := map[byte]string{tar.TypeReg: "f", tar.TypeDir: "d", tar.TypeSymlink: "l", tar.TypeChar: "c", tar.TypeFifo: "p"}[h.Typeflag]
		if old := n[it.name]; old == nil || old.kind != "d" || kind != "d" {
			n.remove(it.name, true)
		}
		mode := h.Mode
		sum := ""
		switch kind {
		case "l":
			mode = 0o777
		case "f":
			sum = fmt.Sprintf("%x", sha256.Sum256(it.body))
		}
		text := fmt.Sprintf("%04o %d:%d %d %d.%09d", mode, h.Uid, h.Gid, h.Size, h.ModTime.Unix(), h.ModTime.Nanosecond())
		switch kind {
		case "l":
			text += " " + h.Linkname
		case "c":
			text += fmt.Sprintf(" %d:%d", h.Devmajor, h.Devminor)
		}
		for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
			if strings.HasPrefix(k, "SCHILY.xattr.") {
				text += fmt.Sprintf(" %s=%q", k[13:], h.PAXRecords[k])
			}
		}
		n[it.name] = &naiveFile{kind, text + sum}
	}
}

func (n naive) lines() []string {
	members := map[*naiveFile][]string{}
	for p, f := range n {
		members[f] = append(members[f], p)
	}
	var out []string
	for p, f := range n {
		link := ""
		if len(members[f]) > 1 {
			link = " link " + slices.Min(members[f])
		}
		out = append(out, p+" "+f.kind+" "+f.attributes+link)
	}
	slices.Sort(out)
	return out
}

func asNaive(tree *layer.Tree) []string {
	var out []string
	for e := range tree.All() {
		if e.Path == "." {
			continue
		}
		text := fmt.Sprintf("%s %c %04o %d:%d %d %d.%09d", e.Path, e.Type, e.Mode, e.UID, e.GID, e.Size, e.Sec, e.Nsec)
		if e.Type == layer.Symlink {
			text += " " + e.Target
		}
		if e.Type == layer.CharDev {
			text += fmt.Sprintf(" %d:%d", e.Major, e.Minor)
		}
		for _, x := range e.Xattrs {
			text += fmt.Sprintf(" %s=%q", x.Name, x.Value)
		}
		if e.Type == layer.Regular {
			text += e.Sum.String()
		}
		if e.Link != "" {
			text += " link " + e.Link
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

var allFreedoms = layertest.Shape{Implied: true, CrossLinks: true, RootOpaque: true, Duplicates: true, Spelling: true, Capabilities: true}

func TestMergeAgainstNaiveOracle(t *testing.T) {
	var stacks, links atomic.Int64
	layertest.RunStacks(t, 2_000, func(seed uint64) string {
		rng := rand.New(rand.NewPCG(seed, 1))
		layers := layertest.Random(t, rng, 1+rng.IntN(5), allFreedoms)
		want := naive{}
		for _, l := range layers {
			want.apply(t, l)
		}
		tree, err := tryMerge(t, layers...)
		if err != nil {
			return err.Error()
		}
		got := asNaive(tree)
		stacks.Add(1)
		if strings.Contains(strings.Join(got, "\n"), " link ") {
			links.Add(1)
		}
		return layertest.Compare(want.lines(), got)
	})
	if links.Load() < stacks.Load()/20 {
		t.Errorf("only %d of %d stacks had hard links: the generator has lost its bite", links.Load(), stacks.Load())
	}
}
