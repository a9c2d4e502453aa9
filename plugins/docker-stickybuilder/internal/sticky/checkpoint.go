package sticky

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// CommitOptions say how to commit a builder that goes on.
type CommitOptions struct {
	Name       string
	Policy     history.Policy
	OnConflict ConflictPolicy
	MaxPause   time.Duration // for which builds may stand still; 0 means 1 s
}

const maxPause = time.Second

// A Committal is the answer to a Commit, and what `commit --format json` prints.
type Committal struct {
	Name              string     `json:"name"`
	Decision          Decision   `json:"decision"`
	Reason            string     `json:"reason"`
	Policy            string     `json:"policy"`
	Disk              string     `json:"disk"`
	Key               string     `json:"key"`
	Ref               string     `json:"ref"`
	Platform          string     `json:"platform"`
	Parent            string     `json:"parent,omitempty"`
	Generation        string     `json:"generation,omitempty"` // that was written, "" if none was
	Head              string     `json:"head,omitempty"`       // the disk's head after that
	Milliseconds      int64      `json:"milliseconds"`         // in all
	PauseMilliseconds int64      `json:"pauseMilliseconds"`    // of these, for which builds stood still
	Summary           disk.Tally `json:"summary"`              // all builds so far; those under way are no part of the decision
	Contest           *Contest   `json:"contest,omitempty"`
	Error             string     `json:"error,omitempty"`
	Hint              string     `json:"hint,omitempty"`
}

// Commit makes what a builder has built so far the disk's next generation, if the
// builds deserve it, while builds go on. The error is not nil if the decision could not
// be carried out; the answer then is there nevertheless. When ctx is cancelled, the
// supervisor still goes on with it.
func (h Host) Commit(ctx context.Context, o CommitOptions, r progress.Reporter) (*Committal, error) {
	lock, err := h.lockName(ctx, o.Name, r)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	dir := h.State.Dir(o.Name)
	run, err := h.ready(dir)
	if err != nil {
		return nil, fmt.Errorf("committing %s: %w", o.Name, err)
	}
	id, err := h.newID()
	if err != nil {
		return nil, err
	}
	if o.MaxPause <= 0 {
		o.MaxPause = maxPause
	}
	if err := dir.SaveCommit(instance.Commit{ID: id, Policy: string(o.Policy), OnConflict: string(o.OnConflict), MaxPause: o.MaxPause}); err != nil {
		return nil, err
	}
	if err := run.Supervisor.Signal(unix.SIGUSR1); err != nil {
		return nil, err
	}
	var c Committal
	if err := progress.Do(r, "committing the disk", func(progress.Step) error { return await(ctx, dir, run.Supervisor, &c) }); err != nil {
		return nil, err
	}
	if c.Error == "" {
		return &c, nil
	}
	if c.Hint != "" {
		return &c, fault.Hint(errors.New(c.Error), "%s", c.Hint)
	}
	return &c, errors.New(c.Error)
}

// ready says why a builder cannot be committed.
func (h Host) ready(dir instance.Dir) (instance.Run, error) {
	run, err := dir.LoadRun()
	if err != nil {
		return run, err
	}
	inst, err := dir.Load()
	if err != nil {
		return run, err
	}
	if inst == nil {
		return run, fault.Hint(errors.New("no such builder is up"), "bring it up: docker stickybuilder up %s", dir.Name())
	}
	if !run.Supervisor.Alive() || run.Phase != instance.PhaseReady {
		state := run.Phase
		if !run.Supervisor.Alive() {
			state = StateDead
		}
		return run, fault.Hint(fmt.Errorf("the builder is %s", state), "end it, and keep what is sound: docker stickybuilder down --commit any-ok %s", dir.Name())
	}
	if inst.Diskless() {
		return run, fault.Hint(ErrNoDisk, "end it, and bring one up with --disk dir:PATH or oci:REGISTRY/REPO")
	}
	if inst.Volume != nil {
		return run, fault.Hint(ErrNoGenerations, "end it, and bring one up with --disk dir:PATH or oci:REGISTRY/REPO")
	}
	former, err := dir.LoadCommit()
	if former != nil {
		err = fault.Hint(errors.New("that is being done already, for a command that was interrupted"), "try again when it is done: see docker stickybuilder status %s", dir.Name())
	}
	return run, err
}

// await returns once the request is gone, with the answer to it.
func await(ctx context.Context, dir instance.Dir, supervisor process.ID, c *Committal) error {
	for {
		ended := supervisor.Wait(ctx, drainPoll)
		switch request, err := dir.LoadCommit(); {
		case err != nil:
			return err
		case request == nil:
			return durable.ReadJSON(dir.File(instance.Committed), c)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case ended:
			return fault.Hint(errors.New("committing: the supervisor died meanwhile"), "end the builder: docker stickybuilder down %s", dir.Name())
		}
	}
}

// beginCheckpoint answers a request beside what else the supervisor has to do.
func (s *supervisor) beginCheckpoint(ctx context.Context) {
	request, err := s.dir.LoadCommit()
	if s.making != nil || err != nil || request == nil {
		s.say("committing: no request: %v", err)
		return
	}
	m := checkpoint{host: s.host, dir: s.dir, run: s.run, request: *request, began: s.host.Now()}
	// The client of a build may know of its end before the journal does.
	if err := s.witness.Sweep(ctx); err != nil || s.deaf != nil {
		m.unseen = "the history could not be followed"
	}
	made := make(chan *instance.Instance, 1)
	s.making = made
	go func() { made <- m.make(context.WithoutCancel(ctx)) }()
}

// endCheckpoint takes over what a checkpoint has made of the builder, nil if nothing.
func (s *supervisor) endCheckpoint(inst *instance.Instance) {
	s.making = nil
	if inst != nil {
		s.inst = inst
	}
	if err := s.dir.RemoveCommit(); err != nil {
		s.say("%v", err)
	}
}

// abandonCheckpoint removes what a supervisor that has died in one has left.
func abandonCheckpoint(ctx context.Context, dir instance.Dir, pool Disk) error {
	request, err := dir.LoadCommit()
	if err != nil || request == nil {
		return err
	}
	return errors.Join(pool.Discard(ctx, &disk.Working{ID: request.ID}), dir.RemoveCommit())
}

// sinceCheckpoints leaves out what checkpoints have already.
func sinceCheckpoints(i *instance.Instance, builds []history.Build) (s history.Story) {
	for _, b := range builds {
		if !slices.ContainsFunc(i.Checkpoints, func(c instance.Checkpoint) bool { return slices.Contains(c.Refs, b.Ref) }) {
			s.Builds = append(s.Builds, b)
		}
	}
	return s
}

// standStill makes the daemon and its builds stand still. Those of a daemon in a
// container are in the container's control group.
func standStill(i *instance.Instance, run instance.Run, cgroup string) func(context.Context) (func(), error) {
	return func(ctx context.Context) (func(), error) {
		if !run.Buildkitd.Alive() {
			return func() {}, errors.New("making buildkitd stand still: it is no process of this machine")
		}
		if i.Container != nil {
			cgroup = process.ContainerGroup(run.Buildkitd.PID)
		}
		return process.Pause(ctx, run.Buildkitd, cgroup)
	}
}
