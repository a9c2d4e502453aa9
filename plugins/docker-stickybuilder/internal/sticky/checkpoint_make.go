package sticky

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A checkpoint is the commit of a builder that goes on.
type checkpoint struct {
	host    Host
	dir     instance.Dir
	run     instance.Run
	request instance.Commit
	unseen  string // why builds may have gone unseen
	began   time.Time
}

// make makes the checkpoint and writes the answer. It returns the builder as it is
// after that, nil if nothing has changed.
func (m checkpoint) make(ctx context.Context) *instance.Instance {
	c := &Committal{Name: m.dir.Name(), Decision: Declined, Policy: m.request.Policy}
	inst, err := m.decide(ctx, c)
	c.Milliseconds = m.took()
	if err != nil {
		c.Error, c.Hint = err.Error(), fault.HintOf(err)
	}
	// Where it cannot be written, commit says that there is none.
	_ = durable.WriteJSON(m.dir.File(instance.Committed), c, 0o600)
	return inst
}

func (m checkpoint) took() int64 { return m.host.Now().Sub(m.began).Milliseconds() }

func (m checkpoint) decide(ctx context.Context, c *Committal) (*instance.Instance, error) {
	inst, err := m.dir.Load()
	if err != nil || inst == nil {
		return nil, err
	}
	story, err := history.ReadJournal(m.dir.File(instance.Journal))
	if err != nil {
		return nil, err
	}
	nameBuilds(m.dir, inst, story.Builds)
	w := &inst.Working
	c.Disk, c.Key, c.Ref, c.Platform, c.Parent, c.Summary = inst.Disk, w.Lineage.Key, w.Lineage.Ref, w.Lineage.Platform, w.Parent, story.Tally()
	since := sinceCheckpoints(inst, ended(story.Builds))
	commit := m.deserved(inst, story, since, c)
	pool, err := m.host.openDisk(inst.Disk, inst.Keep, nil)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	changed := false
	if commit {
		changed, err = m.commit(ctx, pool, inst, since, c)
	}
	if head, headErr := pool.Head(ctx, w.Lineage); headErr == nil && head != nil {
		c.Head = head.ID
	}
	if !changed {
		return nil, err
	}
	return inst, errors.Join(err, m.dir.Save(inst))
}

// deserved asks the policy, and fills in the reason.
func (m checkpoint) deserved(inst *instance.Instance, story, since history.Story, c *Committal) (commit bool) {
	builds := c.Summary
	builds.Running = 0 // they are no part of it
	policy := history.Policy(m.request.Policy)
	commit, c.Reason = policy.Decide(history.Facts{Builds: builds, ReadOnly: inst.ReadOnly, Because: inst.Because, Crash: story.Exit, Unseen: m.unseen})
	if n := len(inst.Checkpoints); commit && n > 0 && policy != history.Always && len(since.Builds) == 0 {
		commit, c.Reason = false, nothingSince(inst.Checkpoints[n-1])
	}
	return commit
}

func nothingSince(c instance.Checkpoint) string {
	return "nothing was built since the checkpoint " + c.Generation
}

// ended leaves out builds that are under way.
func ended(builds []history.Build) (out []history.Build) {
	for _, b := range builds {
		if b.Outcome != history.Running {
			out = append(out, b)
		}
	}
	return out
}

// commit fills in the answer and the builder, and reports whether the latter has
// changed.
func (m checkpoint) commit(ctx context.Context, pool Disk, inst *instance.Instance, since history.Story, c *Committal) (changed bool, err error) {
	w := &inst.Working
	if exhausted(w) {
		c.Reason += ", but the pool has no space left"
		return false, nil
	}
	twin, lock, err := m.copy(ctx, pool, inst)
	if err != nil {
		c.Reason += ", but the disk could not be copied"
		return false, err
	}
	defer lock.Close()
	c.PauseMilliseconds = twin.Clone.Milliseconds
	rule := contest{policy: ConflictPolicy(m.request.OnConflict), keep: inst.Keep}
	g, err := pool.Commit(ctx, twin, disk.Generation{
		BuildkitVersion: m.run.BuildkitVersion, Builder: inst.Name, Builds: since.Tally(), Work: since.Work(),
	}, rule.rule)
	done, err := rule.result(g, err)
	c.Decision, c.Generation, c.Contest = done.decision, done.generation, done.contest
	c.Reason += done.but
	if c.Decision == Discarded {
		c.Decision = Declined
	}
	if c.Generation == "" {
		err = errors.Join(err, lock.Close(), pool.Discard(ctx, twin))
	}
	if c.Decision != Committed {
		return false, err // down decides about all of it once more
	}
	if err := pool.Continue(ctx, w, g); err != nil {
		return false, err
	}
	w.Clone.Entries = max(w.Clone.Entries, twin.Clone.Entries)
	point := instance.Checkpoint{
		Generation: g.ID, Created: g.Created, Milliseconds: m.took(), PauseMilliseconds: c.PauseMilliseconds, Summary: since.Tally(), Refs: []string{},
	}
	for _, b := range since.Builds {
		point.Refs = append(point.Refs, b.Ref)
	}
	inst.Checkpoints = append(inst.Checkpoints, point)
	return true, nil
}

// maxTries bounds how often a copy is made anew because the one before was not sound.
const maxTries = 3

// copy returns a copy of what the working copy holds at one moment, checked.
func (m checkpoint) copy(ctx context.Context, pool Disk, inst *instance.Instance) (*disk.Working, *durable.Lock, error) {
	pause := disk.Pause{Begin: standStill(inst, m.run, m.dir.Cgroup()), Most: m.request.MaxPause}
	for try := 1; ; try++ {
		twin, lock, err := pool.Snapshot(ctx, &inst.Working, m.request.ID, pause)
		if err != nil {
			return nil, nil, err
		}
		bad := errors.Join(daemon.Tidy(twin.Root), sound(ctx, twin.Root))
		if bad == nil {
			return twin, lock, nil
		}
		err = errors.Join(lock.Close(), pool.Discard(ctx, twin))
		if try >= maxTries || err != nil {
			return nil, nil, errors.Join(fmt.Errorf("the copy is not sound: %w", bad), err)
		}
	}
}
