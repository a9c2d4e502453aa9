package sticky

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/builderstore"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// DownOptions say how to end a builder.
type DownOptions struct {
	Name   string
	Policy history.Policy
	Drain  time.Duration // how long builds under way may go on

	OnConflict ConflictPolicy // "" means KeepRicher

	// OnlyDead leaves a builder alone whose supervisor lives: the report's decision
	// is Idle then.
	OnlyDead bool
	// EnvFile is the present CI step's file of variables, "" if there is none.
	EnvFile string
}

// Down ends a builder and takes it out of the buildx store. Without such a
// builder the report's decision is Idle. It also cleans up after a supervisor, a
// daemon or a machine that died.
//
// The error is not nil if the decision could not be carried out; the report then
// is there nevertheless. When ctx is cancelled, the supervisor still goes on to
// the end, and another Down waits for it.
func (h Host) Down(ctx context.Context, o DownOptions, r progress.Reporter) (*Report, error) {
	lock, err := h.lockName(ctx, o.Name, r)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	inst, err := h.State.Dir(o.Name).Load()
	if err != nil {
		return nil, err
	}
	if inst == nil {
		if h.IsRoot {
			// A supervisor that is killed after its builder's end leaves what it takes apart mounted.
			if _, err := dirpool.ReleaseIdle(); err != nil {
				return nil, err
			}
		}
		return &Report{Name: o.Name, Decision: Idle, Reason: "no such builder is up", Builds: []history.Build{}}, nil
	}
	if o.OnlyDead {
		// It may have come up while this command waited for the lock.
		run, err := h.State.Dir(o.Name).LoadRun()
		if err != nil {
			return nil, err
		}
		if run.Supervisor.Alive() {
			return &Report{Name: o.Name, Decision: Idle, Reason: "it is up", Builds: []history.Build{}}, nil
		}
	}
	return h.end(ctx, inst, instance.Stop{Policy: string(o.Policy), Drain: o.Drain, OnConflict: string(o.OnConflict)}, o.EnvFile, r)
}

// slack is what a supervisor needs beyond the time for draining: the daemon's
// ladder, the databases' check, and the removal of a big copy.
const slack = 2 * time.Minute

// end ends the builder by way of its supervisor, or in its place if that is gone.
// env is the present CI step's file of variables, if any.
func (h Host) end(ctx context.Context, i *instance.Instance, stop instance.Stop, env string, r progress.Reporter) (*Report, error) {
	dir := h.State.Dir(i.Name)
	run, err := dir.LoadRun()
	if err != nil {
		return nil, err
	}
	if run.Supervisor.Alive() {
		if err := h.askSupervisor(ctx, dir, run.Supervisor, stop, r); err != nil {
			return nil, err
		}
	}
	report, failed, err := h.takeReport(ctx, dir, i, stop, r)
	if err != nil {
		return nil, err
	}
	nameBuilds(dir, i, report.Builds)
	if err := h.unregister(dir, i); err != nil {
		return report, errors.Join(failed, err)
	}
	// What cannot be told to later steps must not keep the builder from its end.
	return report, errors.Join(failed, restoreEnv(i.Environment, env), dir.RemoveSocketDir(), h.keep(i, report), h.State.Archive(i.Name))
}

// askSupervisor leaves the request, signals, and waits until the supervisor has
// ended; one that takes far too long is killed, and its daemon with it.
func (h Host) askSupervisor(ctx context.Context, dir instance.Dir, id process.ID, stop instance.Stop, r progress.Reporter) error {
	if err := dir.SaveStop(stop); err != nil {
		return err
	}
	// One that is on its way already takes no notice.
	if err := id.Signal(unix.SIGTERM); err != nil {
		return err
	}
	const slice = 50 * time.Millisecond
	var step progress.Step
	phase := ""
	show := func(now string) {
		if now == phase {
			return
		}
		phase = now
		if step != nil {
			step.Done(nil)
		}
		step = nil
		if now != "" {
			step = r.Step(phaseName(now))
		}
	}
	defer show("")
	hope := tolerance{limit: stop.Drain + slack}
	for waited := time.Duration(0); !id.Wait(ctx, slice); waited += slice {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if hope.over(waited) {
			_, err := id.Stop(ctx, process.Rung{Signal: unix.SIGKILL, Wait: 10 * time.Second})
			return err
		}
		if run, err := dir.LoadRun(); err == nil {
			if run.Phase == instance.PhaseTidying {
				id.Wait(ctx, tidyGrace)
				return nil
			}
			show(run.Phase)
			if hope.news(waited, run) && run.Moved > 0 {
				step.Bytes("uploaded", run.Moved, run.Total)
			}
		}
	}
	return nil
}

// A tolerance tells a supervisor that takes long from one that does nothing any more.
type tolerance struct {
	limit time.Duration // for each phase, and from byte to byte
	since time.Duration // when there was news last
	phase string
	moved int64
}

// news takes in what the supervisor says, and reports whether it is something new.
func (p *tolerance) news(waited time.Duration, run instance.Run) bool {
	if run.Phase == p.phase && run.Moved == p.moved {
		return false
	}
	p.since, p.phase, p.moved = waited, run.Phase, run.Moved
	return true
}

func (p *tolerance) over(waited time.Duration) bool { return waited-p.since > p.limit }

func phaseName(p string) string {
	switch p {
	case instance.PhaseDraining:
		return "waiting for builds under way"
	case instance.PhasePruning:
		return "pruning the disk to its bound"
	case instance.PhaseChecking:
		return "checking the databases"
	case instance.PhaseSaving:
		return "committing the disk"
	case instance.PhaseDropping:
		return "discarding the working copy"
	}
	return "stopping buildkitd"
}

// takeReport returns the supervisor's report or, if it died without one, cleans
// up in its place and decides. failed says that the decision could not be carried
// out; err that there is no decision.
func (h Host) takeReport(ctx context.Context, dir instance.Dir, i *instance.Instance, stop instance.Stop, r progress.Reporter) (report *Report, failed, err error) {
	report = &Report{}
	err = durable.ReadJSON(dir.File(instance.Report), report)
	if err == nil {
		if report.Error != "" {
			failed = errors.New(report.Error)
			if report.Hint != "" {
				failed = fault.Hint(failed, "%s", report.Hint)
			}
		}
		return report, failed, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	err = progress.Do(r, "cleaning up", func(progress.Step) error {
		report, failed, err = h.replaceSupervisor(ctx, dir, i, stop)
		return err
	})
	return report, failed, err
}

// killedWait is for a process that was killed to be gone. On a disk that is slow or busy
// it may have to wait for that first.
const killedWait = time.Minute

func (h Host) replaceSupervisor(ctx context.Context, dir instance.Dir, i *instance.Instance, stop instance.Stop) (*Report, error, error) {
	run, err := dir.LoadRun()
	if err != nil {
		return nil, nil, err
	}
	// The daemon dies with its supervisor; make sure that it has.
	if i.Volume == nil {
		if _, err := run.Buildkitd.Stop(ctx, process.Rung{Signal: unix.SIGKILL, Wait: killedWait}); err != nil {
			return nil, nil, err
		}
	}
	clean, err := h.removeContainer(ctx, dir, i)
	if err != nil {
		return nil, nil, err
	}
	process.KillUsers(run.Namespace, i.Working.Root)
	process.KillCgroup(dir.Cgroup())
	e := ending{host: h, dir: dir, inst: i, run: run, clean: clean, policy: history.Policy(stop.Policy), onConflict: ConflictPolicy(stop.OnConflict)}
	e.clock = &stopwatch{now: h.Now}
	e.phase = e.clock.enter
	if !run.Supervisor.IsZero() {
		e.unseen = "the supervisor died"
	}
	if run.Supervisor.BeforeBoot() {
		// No policy makes up for that: nobody has synced the disk.
		e.override = "the machine was started anew since, and what it had not written to the disk is lost"
	}
	pool, err := h.openDisk(i.Disk, i.Keep, nil)
	if err != nil && i.Working.Root == "" {
		// Its up was killed before it had anything of the disk, which may be the reason.
		return e.nothing(), nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer pool.Close()
	// What it was about to remove when it died; the next up would find it, too.
	defer func() { _, _ = pool.Sweep(ctx) }()
	if head, err := pool.Head(ctx, i.Working.Lineage); err == nil && head != nil && head.ID == i.Working.ID {
		return e.committed(head), nil, nil
	}
	if err := abandonCheckpoint(ctx, dir, pool); err != nil {
		return nil, nil, err
	}
	if home, ok := pool.(Remote); ok {
		if report, failed := e.bringHome(ctx, home); report != nil {
			return report, failed, nil
		}
	}
	lock, err := pool.Reopen(ctx, &i.Working)
	switch {
	case errors.Is(err, disk.ErrGone):
		e.policy, e.override = history.Never, "the supervisor died, and the working copy is gone"
		if run.Supervisor.IsZero() {
			e.override = neverStarted
		}
	case err != nil:
		return nil, nil, fault.Hint(fmt.Errorf("cleaning up builder %s: %w", i.Name, err), "something still uses the working copy: see fuser -v %s", i.Working.Root)
	}
	if lock != nil {
		defer lock.Close()
		e.lock = lock.File()
	}
	report, failed := e.decide(ctx)
	return report, errors.Join(failed, e.tidy(ctx)), nil
}

const neverStarted = "it was never started"

// nothing reports for an up that was killed at its very beginning.
func (e ending) nothing() *Report {
	r := begun(e.inst, e.run)
	r.Decision, r.Reason, r.Policy, r.Stopped = Discarded, neverStarted, string(e.policy), e.host.Now().UTC()
	return r
}

// bringHome goes on with a commit in the middle of which the supervisor died; nil if it
// had not begun.
func (e ending) bringHome(ctx context.Context, home Remote) (*Report, error) {
	all, err := home.Pending()
	at := slices.IndexFunc(all, func(g disk.Generation) bool { return g.ID == e.inst.Working.ID })
	if err != nil || at < 0 {
		return nil, nil //nolint:nilerr // it is found again by the next up
	}
	r := e.committed(&all[at])
	r.Reason = "the supervisor died while it committed"
	switch err = home.Push(ctx, all[at].ID); {
	case errors.Is(err, fs.ErrNotExist): // it had only been written down
		return nil, nil
	case errors.Is(err, disk.ErrConflict):
		r.Decision, r.Head = Conflict, ""
		return r, nil
	case err != nil:
		r.Decision, r.Head = Pending, ""
		r.Error, r.Hint = err.Error(), fault.HintOf(err)
	}
	return r, err
}

// committed reports for a supervisor that died after it had moved the head.
func (e ending) committed(head *disk.Generation) *Report {
	r := begun(e.inst, e.run)
	r.Decision, r.Reason, r.Policy = Committed, "it was committed before the supervisor died", string(e.policy)
	r.Generation, r.Head, r.CleanShutdown, r.Stopped = head.ID, head.ID, head.CleanShutdown, e.host.Now().UTC()
	r.Summary, r.Builds = head.Builds, e.builds()
	return r
}

func (e ending) builds() []history.Build {
	story, err := history.ReadJournal(e.dir.File(instance.Journal))
	if err != nil || story.Builds == nil {
		return []history.Build{}
	}
	return story.Builds
}

func (h Host) unregister(dir instance.Dir, i *instance.Instance) error {
	if i.Store == "" {
		return nil
	}
	store, err := builderstore.Open(i.Store)
	if err != nil {
		return err
	}
	return store.Unregister(i.Name, dir.Endpoint(), i.Previous)
}
