package layertest

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// RunStacks calls check for so many seeds, from 0 on, in parallel; the environment
// variable LAYER_STACKS says another number, and LAYER_SEED where to begin. Check
// returns what is wrong, or "". The first that is wrong ends the test.
func RunStacks(t *testing.T, usual int, check func(seed uint64) string) {
	t.Helper()
	n, from := Seeds(t, usual), number(t, "LAYER_SEED", 0)
	began := time.Now()
	var next, done atomic.Uint64
	var failed atomic.Bool
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for !failed.Load() {
				seed := next.Add(1) - 1
				if seed >= n {
					return
				}
				if wrong := check(from + seed); wrong != "" {
					failed.Store(true)
					t.Errorf("seed %d:\n%s", from+seed, wrong)
					return
				}
				done.Add(1)
			}
		})
	}
	wait.Wait()
	t.Logf("%d of %d stacks are as they should be, after %s", done.Load(), n, time.Since(began).Round(time.Second))
}

// Seeds returns how many random cases a test looks at: a fifth of the usual number
// in short mode, and what LAYER_STACKS says if it is set.
func Seeds(t *testing.T, usual int) uint64 {
	t.Helper()
	if testing.Short() {
		usual = max(1, usual/5)
	}
	return number(t, "LAYER_STACKS", uint64(usual))
}

func number(t *testing.T, variable string, usual uint64) uint64 {
	t.Helper()
	s := os.Getenv(variable)
	if s == "" {
		return usual
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}
