package treefs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treefs"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

func sh(t *testing.T, dir, script string) string {
	t.Helper()
	c := exec.Command("sh", "-ec", script)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

const forest = `
mkdir -p a/b empty 'sp ace' work
printf 'one' > a/one; ln a/one a/b/two; ln a/one zlink
ln -s ../../../etc/passwd a/out; ln -s nowhere dangling
mknod a/whiteout c 0 0; mknod a/disk b 7 9; mkfifo a/pipe
chmod 4755 a/one; chmod 1777 empty; chown 12:34 a/b; chown -h 5:6 dangling
truncate -s 3M sparse; printf x | dd of=sparse bs=1 seek=1500000 conv=notrunc 2>/dev/null
printf '' > nothing; printf 'sp' > "$(printf 'sp ace/\377\376')"
setfattr -n trusted.overlay.opaque -v y empty; setfattr -n user.x -v 0x00ff a/one
touch -d '2001-02-03 04:05:06.789' a/b/two empty; touch -h -d '1999-01-01' dangling; touch -d '2002-01-01' a .
`

// look is what find and the contents say, so that the judge is another program.
func look(t *testing.T, dir string) string {
	return sh(t, dir, `find . -mindepth 1 -printf '%P|%y|%m|%U|%G|%s|%T@|%l|%n\n' | grep -v '^work' | sort; find . -type f -not -path './work/*' | sort | xargs -d '\n' sha256sum; getfattr -Rhm- -d . 2>/dev/null; find . -type c -o -type b | sort | xargs -r stat -c '%n %t %T'`)
}

type store map[chunk.ID][]byte

// take describes dir in full, with its contents in the store.
func (s store) take(t *testing.T, dir string, base *treefs.Baseline) *treefs.Scanned {
	t.Helper()
	got, err := treefs.Scan(t.Context(), dir, base, func(p string) bool { return strings.HasPrefix(p, "work/") })
	if err != nil {
		t.Fatal(err)
	}
	got.Tree.Places = map[chunk.ID]chunk.Location{}
	pack := &chunk.Pack{Digest: chunk.Sum([]byte("p")), Size: 1, Raw: chunk.MaxRaw}
	var c chunk.Cutter
	for _, n := range got.Changed {
		e := &got.Tree.Entries[n]
		f, err := os.Open(filepath.Join(dir, e.Path))
		if err != nil {
			t.Fatal(err)
		}
		err = treefs.Extents(f, e.Size, func(start, end int64) error {
			at := start
			return c.Cut(io.NewSectionReader(f, start, end-start), chunk.Files, func(b []byte) error {
				id := chunk.Sum(b)
				s[id] = bytes.Clone(b)
				got.Tree.Places[id] = chunk.Location{Pack: pack}
				e.Content = append(e.Content, treeindex.Piece{Hole: at - end0(e), Size: len(b), ID: id})
				at += int64(len(b))
				return nil
			})
		})
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func end0(e *treeindex.Entry) (end int64) {
	for _, p := range e.Content {
		end += p.Hole + int64(p.Size)
	}
	return end
}

func (s store) apply(t *testing.T, dir string, old, next *treeindex.Tree) {
	t.Helper()
	plan := treefs.Diff(old, next)
	// The first one dies after some of the contents, the last has nothing to write.
	for process := range 3 {
		a, err := treefs.NewApplier(dir, next, plan, treefs.ApplyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if process == 0 {
			if err := a.Structure(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w := a.Writer()
		for i, n := range plan.Create {
			var at int64
			for _, p := range next.Entries[n].Content {
				at += p.Hole
				if process == 1 || (process == 0 && i%2 == 0) {
					if err := w.WriteAt(n, 1, s[p.ID], at); err != nil {
						t.Fatal(err)
					}
				}
				at += int64(p.Size)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if process == 0 {
			continue
		}
		stats, err := a.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if now, err := treefs.Stats(t.Context(), dir, next); err != nil || !slices.Equal(stats, now) {
			t.Errorf("%v are not the stats of the files: %v, %v", stats, now, err)
		}
	}
}

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("devices and owners are root's")
	}
}

func TestRoundTrip(t *testing.T) {
	needRoot(t)
	src, dst, s := t.TempDir(), t.TempDir(), store{}
	sh(t, src, forest)
	first := s.take(t, src, nil)
	s.apply(t, dst, nil, first.Tree)
	if a, b := look(t, src), look(t, dst); a != b {
		t.Errorf("source:\n%s\ncopy:\n%s", a, b)
	}
	if blocks := strings.TrimSpace(sh(t, dst, "stat -c %b sparse")); blocks == "6144" {
		t.Error("the holes are gone")
	}
	for _, change := range []string{
		`rm zlink; printf more >> a/b/two`,
		`rm -r a/b; mkdir -p new/er; echo x > new/er/file; ln new/er/file new/link`,
		`rm a/one; printf 'one' > a/one`,
		`rm dangling; mkdir dangling; echo in > dangling/f; setfattr -x trusted.overlay.opaque empty`,
		`rm -r dangling; ln -s . dangling; rm -r new; chmod 700 a; rm sparse; mkfifo sparse`,
		`mv a A; mv A/one a; rm -r empty 'sp ace'; mkdir work/x; echo left > work/x/y`,
	} {
		old := s.take(t, dst, nil)
		sh(t, src, change)
		next := s.take(t, src, nil)
		s.apply(t, dst, old.Tree, next.Tree)
		if a, b := look(t, src+"/"), look(t, dst); a != b {
			t.Errorf("after %s: source:\n%s\ncopy:\n%s", change, a, b)
		}
		again := s.take(t, dst, nil)
		if len(treefs.Diff(again.Tree, next.Tree).Create) > 0 || len(treefs.Diff(again.Tree, next.Tree).Remove) > 0 {
			t.Errorf("after %s there are still differences", change)
		}
	}
}

func TestUntouchedIsNotRead(t *testing.T) {
	needRoot(t)
	dir, s := t.TempDir(), store{}
	sh(t, dir, forest)
	first := s.take(t, dir, nil)
	time.Sleep(20 * time.Millisecond)
	for _, c := range []struct{ script, changed string }{
		{"true", ""},
		{"printf 'six' > a/one", "a/b/two"}, // its first name
		{"chmod 600 sparse", "sparse"},
		// The same names, sizes and times; only the files are others.
		{"mkdir p q; printf 1 > p/f; printf 2 > q/f; touch -d 2001-01-01 p/f q/f", "p/f q/f"},
		{"mv p r; mv q p; mv r q", "p/f q/f"},
		{"ln sparse linked; rm sparse", "linked"},
		{"mkdir more; cp a/one more", "more/one"},
	} {
		sh(t, dir, c.script)
		got := s.take(t, dir, &first.Baseline)
		var names []string
		for _, n := range got.Changed {
			names = append(names, got.Tree.Entries[n].Path)
		}
		if strings.Join(names, " ") != c.changed {
			t.Errorf("after %s changed: %v, want %s", c.script, names, c.changed)
		}
		fresh := s.take(t, dir, nil)
		if d := treefs.Diff(got.Tree, fresh.Tree); len(d.Create)+len(d.Remove)+len(d.Adjust) > 0 {
			t.Errorf("after %s it was described wrongly: %+v", c.script, d)
		}
		first = got
		time.Sleep(20 * time.Millisecond)
	}
}

func TestStats(t *testing.T) {
	needRoot(t)
	dir, s := t.TempDir(), store{}
	sh(t, dir, forest)
	first := s.take(t, dir, nil)
	stats, err := treefs.Stats(t.Context(), dir, first.Tree)
	if err != nil || fmt.Sprint(stats) != fmt.Sprint(first.Stats) {
		t.Errorf("%v, %v", stats, err)
	}
	copied := t.TempDir()
	sh(t, dir, "cp -a . "+copied)
	stats, err = treefs.Stats(t.Context(), copied, first.Tree)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.take(t, copied, &treefs.Baseline{Tree: first.Tree, Stats: stats}); len(got.Changed) > 0 {
		t.Errorf("%d changed", len(got.Changed))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := treefs.Scan(ctx, dir, nil, nil); err == nil {
		t.Error("cancelled, and no error")
	}
}

// A directory that has been tampered with does not lead elsewhere.
func TestLinksAreNotFollowed(t *testing.T) {
	needRoot(t)
	dir, victim := t.TempDir(), t.TempDir()
	tree := &treeindex.Tree{Entries: []treeindex.Entry{
		{Path: "d", Kind: treeindex.Dir}, {Path: "d/f", Kind: treeindex.File, Size: 1, Content: []treeindex.Piece{{Size: 1}}},
	}}
	a, err := treefs.NewApplier(dir, tree, treefs.Diff(nil, tree), treefs.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := os.Symlink(victim, filepath.Join(dir, "d")); err != nil {
		t.Fatal(err)
	}
	if err := a.Structure(t.Context()); err == nil {
		t.Error("a link was taken for a directory")
	}
	if err := a.Writer().WriteAt(1, 1, []byte("x"), 0); err == nil {
		t.Error("written through a link")
	}
	if _, err := a.Finish(t.Context()); err == nil {
		t.Error("finished through a link")
	}
	if names, _ := os.ReadDir(victim); len(names) > 0 {
		t.Errorf("escaped: %v", names)
	}
}

// Random trees and random changes: from each to the next, and back in one go.
func TestRandom(t *testing.T) {
	needRoot(t)
	src, dst, s := t.TempDir(), t.TempDir(), store{}
	r := rand.New(rand.NewPCG(3, 4))
	pick := func() string { return fmt.Sprintf("%c/%c", 'a'+r.IntN(3), 'a'+r.IntN(4)) }
	old := s.take(t, dst, nil)
	base := s.take(t, src, nil)
	for round := range 60 {
		for range 1 + r.IntN(8) {
			p := filepath.Join(src, pick())
			os.Mkdir(filepath.Dir(p), 0o755)
			switch r.IntN(7) {
			case 0:
				os.RemoveAll(p)
			case 1:
				os.RemoveAll(filepath.Dir(p))
			case 2:
				os.Link(filepath.Join(src, pick()), p)
			case 3:
				os.Symlink(pick(), p)
			case 4:
				unix.Mknod(p, unix.S_IFCHR|0o600, 0)
			case 5:
				os.Rename(filepath.Join(src, pick()), p)
			default:
				os.WriteFile(p, fmt.Append(nil, r.IntN(3)), os.FileMode(0o600+r.IntN(64)))
			}
		}
		next := s.take(t, src, &base.Baseline)
		s.apply(t, dst, old.Tree, next.Tree)
		old = s.take(t, dst, nil)
		if d := treefs.Diff(old.Tree, s.take(t, src, nil).Tree); len(d.Create)+len(d.Remove)+len(d.Adjust) > 0 {
			t.Fatalf("round %d: %+v", round, d)
		}
		base = next
		time.Sleep(5 * time.Millisecond)
	}
}
