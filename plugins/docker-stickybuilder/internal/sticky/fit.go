package sticky

import (
	"context"
	"fmt"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
)

// A fitting makes a disk smaller than its bound by removing what was not used for
// the longest time, in steps: first what is two months old, and then always three
// quarters of the age before.
type fitting struct {
	most    int64 // bytes
	measure func(context.Context) (int64, error)
	prune   func(ctx context.Context, age time.Duration, all bool) (removed int, err error)
}

const (
	oldestAge = 60 * 24 * time.Hour
	newestAge = 50 * time.Millisecond
)

// fit returns the disk's bytes before and after. An error leaves it as far as it
// got.
func (f fitting) fit(ctx context.Context) (before, after int64, err error) {
	before, err = f.measure(ctx)
	after = before
	if err != nil || before <= f.most {
		return before, after, err
	}
	for age := oldestAge; after > f.most; age = age / 4 * 3 {
		last := age < newestAge
		if last {
			age = 0
		}
		n, err := f.prune(ctx, age, false)
		if last && err == nil {
			// What BuildKit keeps for itself, and what images refer to.
			var more int
			if after, err = f.measure(ctx); err == nil && after > f.most {
				more, err = f.prune(ctx, age, true)
			}
			n += more
		}
		if err != nil {
			return before, after, err
		}
		if n > 0 {
			if after, err = f.measure(ctx); err != nil {
				return before, after, err
			}
		}
		if last {
			break
		}
	}
	return before, after, nil
}

// pruneTime bounds the fitting; a daemon that does not answer must not keep a job
// from its end.
const pruneTime = 2 * time.Minute

// lookTime bounds how long a disk that cannot be too big is measured, to be told.
const lookTime = 20 * time.Millisecond

// fit prunes the disk before a commit, while the daemon lives. It never fails: a
// disk that is too big is committed nevertheless, and the report says so.
//
// To measure a disk with many files takes seconds. Where the filesystem that it is on
// holds no more than the disk may, also with all that is not written yet, only as much is
// done as takes no time. Before anything is pruned, finalized is waited for.
func (s *supervisor) fit(ctx context.Context, e *ending, finalized func()) {
	if s.inst.MaxBytes <= 0 || s.inst.Diskless() || s.inst.Volume != nil || s.inst.ReadOnly || e.policy == history.Never || e.override != "" {
		return
	}
	s.phase(instance.PhasePruning)
	s.pruning = true
	ctx, cancel := context.WithTimeout(ctx, pruneTime)
	defer cancel()
	measure := func(ctx context.Context) (int64, error) {
		size, err := tree.Measure(ctx, s.inst.Working.Root)
		return size.Bytes, err
	}
	space, err := tree.Free(s.inst.Working.Root)
	unwritten, memErr := tree.Unwritten()
	if err == nil && memErr == nil && space.Size-space.Bytes+unwritten <= s.inst.MaxBytes {
		look, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		if n, err := measure(look); err == nil {
			e.bytes = n
		}
		return
	}
	finalized()
	f := fitting{
		most:    s.inst.MaxBytes,
		measure: measure,
		prune: func(ctx context.Context, age time.Duration, all bool) (int, error) {
			return daemon.Prune(ctx, s.client, age, all)
		},
	}
	before, after, err := f.fit(ctx)
	e.bytes, e.pruned = after, before-after
	switch {
	case err != nil:
		s.say("%v", err)
		e.oversize = fmt.Sprintf("it could not be pruned to its bound: %s", oneLine(err))
	case after > s.inst.MaxBytes:
		e.oversize = fmt.Sprintf("it holds %.1f MB, more than its bound of %.1f MB, and nothing that can be pruned", float64(after)/1e6, float64(s.inst.MaxBytes)/1e6)
	}
}
