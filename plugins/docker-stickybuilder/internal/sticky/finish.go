package sticky

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/mounts"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

const (
	patience     = 15 * time.Second // for the daemon after its first SIGTERM
	drainPoll    = 50 * time.Millisecond
	finalizeTime = 5 * time.Second
)

// finish is the supervisor's way to the end: wait for builds, take over what the
// history has, stop the daemon, decide.
func (s *supervisor) finish(ctx context.Context) error {
	if s.making != nil {
		s.endCheckpoint(<-s.making)
	}
	request, err := s.dir.LoadStop()
	if err != nil {
		s.say("%v", err)
	}
	e := ending{host: s.host, dir: s.dir, inst: s.inst, run: s.run, lock: s.lock, phase: s.phase, clock: &s.clock, moved: s.moved}
	var orphaned string
	if request == nil {
		request, orphaned = s.orphaned()
		e.note = orphaned
	}
	if request == nil {
		request = &instance.Stop{Policy: string(history.Never)}
		e.override = "the supervisor was stopped by a signal and not by docker stickybuilder down"
	}
	if s.abandoned {
		e.override = orphaned
	}
	e.policy, e.onConflict = history.Policy(request.Policy), ConflictPolicy(request.OnConflict)
	if s.run.Crash == "" && s.witness != nil {
		s.phase(instance.PhaseDraining)
		s.drain(ctx, request.Drain)
		finalized := s.finalize(ctx)
		s.fit(ctx, &e, finalized)
		finalized()
		if s.inst.Remote() {
			if e.going, err = s.witness.Going(ctx); err != nil {
				s.hearNoMore(err)
			}
		}
		s.phase(instance.PhaseStopping)
	}
	e.clean = s.end(ctx)
	e.run = s.run
	if s.deaf != nil {
		e.unseen = "the history could not be followed"
	}
	_, err = e.decide(ctx)
	if s.journal != nil {
		err = errors.Join(err, s.journal.Close())
	}
	// The last that is written about this builder here.
	s.phase(instance.PhaseTidying)
	s.release(ctx)
	if s.tidied != nil {
		<-s.tidied
	}
	return errors.Join(err, e.tidy(ctx))
}

// drain waits until no build is under way, at most for limit, and then makes the
// journal know all of them. A client that was interrupted is gone before BuildKit has
// written down that its build was cancelled.
func (s *supervisor) drain(ctx context.Context, limit time.Duration) {
	if s.inst.Remote() {
		limit = min(limit, remoteDrain)
	}
	deadline := s.host.Now().Add(limit)
	for s.host.Now().Before(deadline) {
		n, err := s.witness.Active(ctx)
		if err != nil || n == 0 {
			break
		}
		time.Sleep(drainPoll)
	}
	if err := s.witness.Sweep(ctx); err != nil {
		s.hearNoMore(err)
	}
}

// finalize has the daemon complete what it keeps of the builds, and returns what waits for
// that.
func (s *supervisor) finalize(ctx context.Context) (wait func()) {
	if s.inst.Remote() {
		return func() {}
	}
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, finalizeTime)
		defer cancel()
		done <- s.witness.Finalize(ctx)
	}()
	return sync.OnceFunc(func() {
		if err := <-done; err != nil {
			s.say("finalizing traces: %v", err)
		}
	})
}

// An ending decides about the working copy of a builder whose daemon has ended.
type ending struct {
	host       Host
	dir        instance.Dir
	inst       *instance.Instance
	run        instance.Run
	policy     history.Policy
	onConflict ConflictPolicy
	override   string   // the reason, if it is not the policy's
	note       string   // what else to say about it
	clean      bool     // the daemon ended when asked
	going      []string // refs of builds that outlive the builder, since its daemon does
	unseen     string   // why builds may have gone unseen
	lock       *os.File // of the working copy, held since it was made or taken over; nil if that is gone
	phase      func(string)
	clock      *stopwatch              // that phase tells
	moved      func(done, total int64) // bytes of the commit; nil for nobody

	pool Disk // open until tidy

	bytes, pruned int64  // of the disk, if it has a bound: what it holds and what was removed
	oversize      string // why it holds more than its bound
}

// tidy is what is left to be done when the report is written.
func (e *ending) tidy(ctx context.Context) error {
	if e.pool == nil {
		return nil
	}
	return tidy(ctx, e.pool)
}

// decide commits or discards the working copy and writes the report. The error
// says that the decision could not be carried out; the report has it too. What was
// removed is left to tidy.
func (e *ending) decide(ctx context.Context) (*Report, error) {
	story, err := history.ReadJournal(e.dir.File(instance.Journal))
	if (err != nil || story.Damaged > 0) && e.unseen == "" {
		e.unseen = "the journal is damaged"
	}
	story.End(e.going...)
	r := begun(e.inst, e.run)
	r.Policy, r.Bytes, r.PrunedBytes = string(e.policy), e.bytes, e.pruned
	r.CleanShutdown, r.Crash, r.Summary = e.clean, first(e.run.Crash, story.Exit), story.Tally()
	r.Builds = append(r.Builds, story.Builds...)
	nameBuilds(e.dir, e.inst, r.Builds)
	if slow := copiesLayers(e.inst, e.run); slow != "" {
		r.Notes = append(r.Notes, slow)
	}
	commit, reason := e.policy.Decide(history.Facts{
		Builds: r.Summary, ReadOnly: e.inst.ReadOnly, Because: e.inst.Because, Crash: r.Crash, Unseen: e.unseen,
	})
	if e.override != "" {
		commit, reason = false, e.override
	} else if e.note != "" {
		reason += "; " + e.note
	}
	if n := len(r.Checkpoints); n > 0 && commit && e.policy != history.Always && len(sinceCheckpoints(e.inst, r.Builds).Builds) == 0 {
		commit, reason = false, nothingSince(r.Checkpoints[n-1])
	}
	if e.inst.Diskless() {
		commit, reason = false, reason+"; there is no disk, so nothing is kept"
	}
	inVolume := e.inst.Volume != nil && !e.run.Supervisor.IsZero()
	if inVolume {
		commit, reason = false, reason+"; "+e.inVolume()
	}
	r.Decision, r.Reason = Discarded, reason
	err = e.carryOut(ctx, commit, r)
	if inVolume {
		r.Decision = Kept
	}
	if err != nil {
		r.Error, r.Hint = err.Error(), fault.HintOf(err)
	}
	e.clock.enter("")
	r.Durations, r.Stopped = e.clock.durations(), e.host.Now().UTC()
	return r, errors.Join(err, durable.WriteJSON(e.dir.File(instance.Report), r, 0o600))
}

func (e *ending) carryOut(ctx context.Context, commit bool, r *Report) error {
	w := &e.inst.Working
	pool, err := e.host.openDisk(e.inst.Disk, e.inst.Keep, e.moved)
	if err != nil {
		return err
	}
	e.pool = pool
	defer e.lock.Close() // before the pool, which cannot let go while it is held
	if w.Root != "" {
		if _, err := mounts.UnmountBelow(w.Root); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	var failed error
	if commit {
		failed = e.commit(ctx, pool, r)
	}
	if r.Generation == "" {
		e.phase(instance.PhaseDropping)
		err := pool.Discard(ctx, w)
		if errors.Is(err, unix.EROFS) {
			// btrfs does that when it cannot write: nothing can be done while it is mounted.
			r.Reason += "; the pool has become read-only, and the next job removes the working copy"
			err = nil
		}
		failed = errors.Join(failed, err)
	}
	if r.Decision == Committed {
		r.Head = r.Generation
	} else if head, err := pool.Head(ctx, w.Lineage); err == nil && head != nil {
		r.Head = head.ID
	}
	return failed
}

// sound says what is wrong with the root of a daemon that has ended.
func sound(ctx context.Context, root string) error {
	if err := daemon.Check(ctx, root); err != nil {
		return err
	}
	// Only on sound databases: it trusts what they say.
	_, err := daemon.CrossCheck(ctx, root)
	return err
}

// exhausted reports whether the disk is full, or what holds it is. What BuildKit
// wrote last then cannot be relied on.
func exhausted(w *disk.Working) bool {
	for _, dir := range []string{w.Root, w.Backing} {
		if dir == "" {
			continue
		}
		if space, err := tree.Free(dir); err == nil && space.Exhausted() {
			return true
		}
	}
	return false
}

// commit fills in the report's decision. Databases that are not sound, also
// because the disk ran full, are a reason not to commit and no error.
func (e ending) commit(ctx context.Context, pool Disk, r *Report) error {
	w := &e.inst.Working
	e.phase(instance.PhaseChecking)
	r.Notes = append(r.Notes, relieve(ctx, pool, w.Root, w.Backing)...)
	if exhausted(w) {
		r.Reason += ", but the pool has no space left"
		return nil
	}
	// The databases would not show it if a snapshot's files were lost.
	if err := durable.SyncSince(e.lock); err != nil {
		r.Reason = fmt.Sprintf("%s, but not all of the disk could be written: %s", r.Reason, oneLine(err))
		return nil
	}
	if err := errors.Join(daemon.Tidy(w.Root), sound(ctx, w.Root)); err != nil {
		r.Reason = fmt.Sprintf("%s, but the disk is not sound: %s", r.Reason, oneLine(err))
		return nil
	}
	e.phase(instance.PhaseSaving)
	c := contest{policy: e.onConflict, keep: e.inst.Keep}
	before := traffic(pool)
	since := sinceCheckpoints(e.inst, r.Builds)
	g, err := pool.Commit(ctx, w, disk.Generation{
		BuildkitVersion: e.run.BuildkitVersion, Builder: e.inst.Name, CleanShutdown: e.clean, Builds: since.Tally(),
		Work: since.Work(), Bytes: e.bytes,
	}, c.rule)
	r.Commit = traffic(pool).Since(before)
	done, err := c.result(g, err)
	r.Decision, r.Generation, r.Contest = done.decision, done.generation, done.contest
	r.Reason += done.but
	if err == nil && r.Decision == Committed && e.oversize != "" {
		r.Reason += "; " + e.oversize
	}
	return err
}
