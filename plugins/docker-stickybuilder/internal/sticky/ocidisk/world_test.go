package ocidisk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ocidisk"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

var lineage = disk.Lineage{Key: "k", Platform: "p"}

// A world is a registry, before which something counts and fails.
type world struct {
	t     *testing.T
	host  string
	inner http.Handler

	mu       sync.Mutex
	requests []string
	sent     int64
	got      int64
	fault    func(http.ResponseWriter, *http.Request) bool
	ids      int
}

func newWorld(t *testing.T) *world {
	needRoot(t)
	w := &world{t: t, inner: ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	w.host = strings.TrimPrefix(s.URL, "http://")
	return w
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.requests = append(w.requests, r.Method+" "+r.URL.Path)
	w.sent += max(0, r.ContentLength)
	fault := w.fault
	w.mu.Unlock()
	rw = &counting{rw, w}
	if fault == nil || !fault(rw, r) {
		w.inner.ServeHTTP(rw, r)
	}
}

// A counting writer adds up what the registry answers.
type counting struct {
	http.ResponseWriter
	w *world
}

func (c *counting) Write(b []byte) (int, error) {
	c.w.mu.Lock()
	c.w.got += int64(len(b))
	c.w.mu.Unlock()
	return c.ResponseWriter.Write(b)
}

// Unwrap lets handlers flush.
func (c *counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (w *world) reset(fault func(http.ResponseWriter, *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests, w.sent, w.got, w.fault = nil, 0, 0, fault
}

func (w *world) count(method, part string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		if strings.HasPrefix(r, method) && strings.Contains(r, part) {
			n++
		}
	}
	return n
}

// A machine has its own directory.
func (w *world) machine() *ocidisk.Disk { return open(w.t, w.host, w.t.TempDir(), smallPacks) }

// smallPacks let little data make several packs.
func smallPacks(o *ocidisk.Options) { o.Pack = 3 << 20 }

func (w *world) newID() string {
	w.ids++
	return disk.NewID(time.Date(2026, 1, 2, 3, 4, w.ids, 0, time.UTC), fmt.Appendf(nil, "%06d", w.ids))
}

type job struct {
	*disk.Working
	lock *durable.Lock
	d    *ocidisk.Disk
}

func (w *world) clone(d *ocidisk.Disk) job {
	w.t.Helper()
	c, lock, err := d.Clone(w.t.Context(), lineage, lineage, w.newID(), progress.Discard.Step(""))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { lock.Close() })
	return job{c, lock, d}
}

func (j job) write(t testing.TB, name string, data []byte) {
	t.Helper()
	path := filepath.Join(j.Root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

func (j job) commit(t *testing.T) disk.Generation {
	t.Helper()
	g, err := j.d.Commit(t.Context(), j.Working, disk.Generation{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	j.lock.Close()
	return g
}

func random(seed, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// fill writes a few packs' worth, in files of all sizes.
func (j job) fill(t *testing.T) {
	j.write(t, "cache.db", random(99, 5000))
	j.write(t, "w/snapshots/metadata.db", random(98, 5000))
	for i := range 2 {
		j.write(t, fmt.Sprintf("w/snapshots/snapshots/big/%d", i), random(i, 13<<17))
	}
	for i := range 300 {
		j.write(t, fmt.Sprintf("w/snapshots/snapshots/small/%03d", i), random(1000+i, 100+i*7))
	}
}

func same(t *testing.T, a, b string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(a, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, _ := filepath.Rel(a, path)
		x, xErr := os.ReadFile(path)
		y, yErr := os.ReadFile(filepath.Join(b, rel))
		if n++; xErr != nil || yErr != nil || !bytes.Equal(x, y) {
			t.Errorf("%s differs: %v", rel, errors.Join(xErr, yErr))
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d files, %v", n, err)
	}
}
