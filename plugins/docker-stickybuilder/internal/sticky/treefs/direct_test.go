package treefs_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/chunk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treefs"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/treeindex"
)

// Pieces end anywhere, and come in any order from several writers, through the page cache
// or past it.
func TestBigFilesInPieces(t *testing.T) {
	needRoot(t)
	r := rand.New(rand.NewPCG(1, 2))
	contents := map[string][]byte{}
	tree := &treeindex.Tree{}
	for _, size := range []int{1, 4096, 1<<20 - 1, 1 << 20, 3<<20 + 5, 7<<20 + 4095} {
		data := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(data)
		e := treeindex.Entry{Path: string(rune('a' + len(tree.Entries))), Kind: treeindex.File, Mode: 0o640, UID: 3, GID: 4, Seconds: 12345, Size: int64(size) + 9}
		for at := 0; at < size; {
			n := min(1+r.IntN(400_000), size-at)
			hole := 0
			if at > 0 && n > 9000 && at+n < size {
				hole = 8999 // of what is there in data as zeros
				clear(data[at : at+hole])
				n -= hole
			}
			e.Content = append(e.Content, treeindex.Piece{Hole: int64(hole), Size: n, ID: chunk.Sum(data[at+hole : at+hole+n])})
			at += hole + n
		}
		contents[e.Path] = append(data, make([]byte, 9)...)
		tree.Entries = append(tree.Entries, e)
	}
	for _, direct := range []bool{false, true} {
		dir := t.TempDir()
		a, err := treefs.NewApplier(dir, tree, treefs.Diff(nil, tree), treefs.ApplyOptions{Direct: direct})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if err := a.Structure(t.Context()); err != nil {
			t.Fatal(err)
		}
		type piece struct {
			entry     int
			at, bytes int64
		}
		var all []piece
		for n := range tree.Entries {
			var at int64
			for _, p := range tree.Entries[n].Content {
				all = append(all, piece{n, at + p.Hole, int64(p.Size)})
				at += p.Hole + int64(p.Size)
			}
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var writers sync.WaitGroup
		for i := range 3 {
			writers.Go(func() {
				w := a.Writer()
				for ; i < len(all); i += 3 {
					p := all[i]
					if err := w.WriteAt(p.entry, 1, contents[tree.Entries[p.entry].Path][p.at:p.at+p.bytes], p.at); err != nil {
						t.Error(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		writers.Wait()
		if _, err := a.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, want := range contents {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("direct %v: %s has other contents (%d bytes, not %d), %v", direct, name, len(got), len(want), err)
			}
		}
		if s := sh(t, dir, "stat -c '%a %u %g %Y' * | sort -u"); s != "640 3 4 12345\n" {
			t.Errorf("direct %v: %s", direct, s)
		}
	}
}
