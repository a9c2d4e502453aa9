package ocidisk_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ocidisk"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A stall sends half of the nth pack that is asked for, and then nothing more while the
// client waits.
type stall struct {
	world *world
	nth   int
	begun chan struct{}

	mu    sync.Mutex
	packs []string // paths, in the order in which they were asked for
}

func (w *world) stall(nth int) *stall {
	s := &stall{world: w, nth: nth, begun: make(chan struct{})}
	w.reset(s.answer)
	return s
}

func (s *stall) answer(rw http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
		return false
	}
	whole := httptest.NewRecorder()
	s.world.inner.ServeHTTP(whole, r)
	const pack = 512 << 10 // parts of the index are smaller
	if whole.Body.Len() <= pack {
		return false
	}
	s.mu.Lock()
	s.packs = append(s.packs, r.URL.Path)
	stalls := len(s.packs) == s.nth
	s.mu.Unlock()
	if !stalls {
		return false
	}
	close(s.begun)
	rw.Header().Set("Content-Length", whole.Header().Get("Content-Length"))
	_, _ = rw.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	_ = http.NewResponseController(rw).Flush()
	<-r.Context().Done()
	return true
}

// A pack of which the rest does not come is fetched again, and nothing else is.
func TestStalledPack(t *testing.T) {
	w := newWorld(t)
	a := w.clone(w.machine())
	a.fill(t)
	a.commit(t)
	s := w.stall(1)
	b := w.clone(open(t, w.host, t.TempDir(), func(o *ocidisk.Options) {
		smallPacks(o)
		o.Registry.Stall = 300 * time.Millisecond
	}))
	<-s.begun
	if n := w.count(http.MethodGet, s.packs[0]); n != 2 {
		t.Errorf("the pack was asked for %d times", n)
	}
	if all, packs := w.count(http.MethodGet, "/blobs/"), len(w.distinct("/blobs/")); all != packs+1 {
		t.Errorf("%d requests for %d blobs", all, packs)
	}
	w.reset(nil)
	same(t, w.clone(w.machine()).Root, b.Root)
}

// Whoever is tired of waiting gets away at once. What was fetched until then is not
// fetched again.
func TestInterruptedWhileStalled(t *testing.T) {
	w := newWorld(t)
	a := w.clone(w.machine())
	a.fill(t)
	a.commit(t)
	s := w.stall(2)
	dir := t.TempDir()
	one := func(o *ocidisk.Options) { smallPacks(o); o.Jobs = 1 }
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-s.begun
		interrupt()
	}()
	began := time.Now()
	_, _, err := open(t, w.host, dir, one).Clone(ctx, lineage, lineage, w.newID(), progress.Discard.Step(""))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it went on for %s", took)
	}
	w.reset(nil)
	b := w.clone(open(t, w.host, dir, one))
	if done, torn := w.count(http.MethodGet, s.packs[0]), w.count(http.MethodGet, s.packs[1]); done != 0 || torn != 1 {
		t.Errorf("the pack that was there was asked for %d times, the torn one %d times", done, torn)
	}
	w.reset(nil)
	same(t, w.clone(w.machine()).Root, b.Root)
}

// distinct returns the paths of requests that contain part, each once.
func (w *world) distinct(part string) map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]bool{}
	for _, r := range w.requests {
		if strings.Contains(r, part) {
			out[r] = true
		}
	}
	return out
}
