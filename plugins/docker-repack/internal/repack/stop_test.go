package repack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// manyLayers is an image of four layers, of 20 files each, that becomes one of at
// least eight, and its compressed size.
func manyLayers(t *testing.T, file int) (dir string, size int64) {
	var tars [][]byte
	for l := range uint64(4) {
		var entries []Entry
		for i := range uint64(20) {
			entries = append(entries, File(fmt.Sprintf("d%d/f%02d", l, i), noise(100*l+i, file)))
		}
		tars = append(tars, Tar(t, entries...))
	}
	img := makeImage(t, "linux/amd64", tars...)
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range m.Layers {
		size += l.Size
	}
	return store(t, img), size
}

// TestCancelAnywhere interrupts a run of many workers at all kinds of moments: it
// ends with the reason, and leaves neither files nor goroutines.
func TestCancelAnywhere(t *testing.T) {
	dir, _ := manyLayers(t, 100_000)
	ran := false
	for at := int64(1); !ran; at += at/2 + 1 {
		tmp, to := t.TempDir(), filepath.Join(t.TempDir(), "out")
		ctx, cancel := context.WithCancel(t.Context())
		err := repackTo(ctx, t, dir, to, tmp, &alarm{at: at, ring: cancel})
		ran = ctx.Err() == nil // more steps than there are
		cancel()
		if !ran && !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at step %d: %v", at, err)
		}
		if ran && err != nil {
			t.Errorf("not cancelled: %v", err)
		}
		nothingLeft(t, fmt.Sprintf("cancelled at step %d", at), tmp)
		if _, err := os.Stat(to); !ran && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("cancelled at step %d: the destination is there (%v)", at, err)
		}
	}
}

// TestTemporaryDiskRunsFull ends in the midst of reading, or does not: what is
// promised is enough.
func TestTemporaryDiskRunsFull(t *testing.T) {
	// There is always room for one layer: a tenth of the source has to be more.
	dir, size := manyLayers(t, 200_000)
	for percent, enough := range map[int64]bool{5: false, 50: false, 98: false, 110: true} {
		small := t.TempDir()
		if err := syscall.Mount("tmpfs", small, "tmpfs", 0, fmt.Sprintf("size=%d", size*percent/100&^4095)); err != nil {
			if os.Getenv("DOCKERFACTORY_E2E") == "1" {
				t.Fatalf("mounting a small disk: %v", err)
			}
			t.Skipf("needs root: %v", err)
		}
		to := filepath.Join(t.TempDir(), "out")
		err := repackTo(t.Context(), t, dir, to, small, progress.Discard)
		if enough != (err == nil) || (err != nil && (!errors.Is(err, syscall.ENOSPC) || !strings.Contains(fault.HintOf(err), "--tmpdir"))) {
			t.Errorf("with %d %% of the source's size: %v\nhint %q", percent, err, fault.HintOf(err))
		}
		nothingLeft(t, fmt.Sprintf("with %d %%", percent), small)
		if err := syscall.Unmount(small, 0); err != nil {
			t.Errorf("with %d %%: the disk is still used: %v", percent, err)
		}
	}
}

func repackTo(ctx context.Context, t *testing.T, dir, to, tmp string, p progress.Reporter) error {
	t.Helper()
	dst, err := repack.OpenDestination(t.Context(), parse(t, "oci://"+to), image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = repack.Run(ctx, resolve(t, parse(t, "oci://"+dir)), dst, repack.Options{TempDir: tmp, Jobs: 4, TargetSize: 1_000_000, Verify: true, Progress: p})
	return err
}

// nothingLeft looks for files of a directory, named or only open, and for
// goroutines of the package, which may take a moment to end.
func nothingLeft(t *testing.T, when, dir string) {
	t.Helper()
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%s: files %v", when, left)
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		if to, _ := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); strings.HasPrefix(to, dir+"/") {
			t.Errorf("%s: %s is open", when, to)
		}
	}
	var left [][]byte
	for range 500 {
		if left = goroutines(); len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s: %d goroutines, the first\n%s", when, len(left), left[0])
}

// goroutines returns the stacks that the package is in.
func goroutines() (out [][]byte) {
	buf := make([]byte, 4<<20)
	for _, stack := range bytes.Split(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
		if bytes.Contains(stack, []byte("docker-repack/internal/repack.")) {
			out = append(out, stack)
		}
	}
	return out
}

// An alarm rings at one of the steps forward that a run reports.
type alarm struct {
	at   int64
	seen atomic.Int64
	ring func()
}

func (a *alarm) Step(string) progress.Step { return a }

func (a *alarm) Bytes(string, int64, int64) {
	if a.seen.Add(1) == a.at {
		a.ring()
	}
}
func (a *alarm) Write(p []byte) (int, error) { return len(p), nil }
func (a *alarm) Cached()                     {}
func (a *alarm) Done(error)                  {}
