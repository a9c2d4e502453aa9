package sticky

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/builderstore"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/process"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// UpOptions say what builder is wanted.
type UpOptions struct {
	Name     string  // as builderstore.ValidateName returns it
	Disk     string  // "" means DefaultDisk, and any disk if the builder is up already
	Key      string  // "" likewise, for DefaultKey
	Ref      *string // nil likewise, for DefaultRef
	ReadOnly bool
	Because  string // why it is read-only, if nobody asked for that
	Platform string // of this machine
	Keep     int    // generations to keep; 0 means the pool's default
	MaxBytes *int64 // bound of the disk, 0 for none; nil means DefaultMaxBytes unless the configuration has its own

	DefaultDisk string
	DefaultKey  string
	DefaultRef  string

	Empty    bool     // begin with an empty disk, whatever there is
	Fallback []string // values of --fallback; see Fallbacks
	Bases    []string // branches that the job's goes back to, the nearest first

	Driver        string            // of Drivers; "" means AutoDriver
	DriverOptions map[string]string // of the docker-container driver
	Engine        string            // address of the docker engine
	EngineName    string            // by which docker buildx finds it: the name of a docker context, or the address
	Endpoint      string            // address of the remote driver's daemon
	Buildx        []string          // command line of docker buildx, nil if there is none
	Entitlements  []string          // that builds may ask for
	Platforms     []string          // that the builder is said to have; nil for what the daemon says

	Job     process.ID // for which the builder is there; zero if it stays until down
	JobName string

	Buildkitd    string        // "" means the one on PATH
	Config       string        // path of the user's buildkitd.toml, "" for none
	ConfigText   []byte        // its contents
	ReadyTimeout time.Duration // 0 means 30 s

	Store    *builderstore.Store
	Reserved []string          // names that are no builders' but taken
	Use      *string           // docker endpoint for which to make the builder current; nil leaves that alone
	EnvFile  *instance.EnvFile // where to set BUILDX_BUILDER for later CI steps; nil for nowhere
}

const (
	// nameWait is how long to wait for another up or down of the same name: long
	// enough for the copy of a big disk, or for builds that a down waits for.
	nameWait     = 10 * time.Minute
	nameSilence  = time.Second // of which nothing is said about it
	readyTimeout = 30 * time.Second
)

// Up brings a builder up, or finds it up. After an error, and when ctx is
// cancelled, nothing of it is left.
func (h Host) Up(ctx context.Context, o UpOptions, r progress.Reporter) (*Upped, error) {
	dir := h.State.Dir(o.Name)
	if err := o.Store.Check(o.Name, dir.Endpoint(), o.Reserved); err != nil {
		return nil, err
	}
	lock, err := h.lockName(ctx, o.Name, r)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	var notes []string
	if inst, err := dir.Load(); err != nil {
		return nil, err
	} else if inst != nil {
		run, err := dir.LoadRun()
		if err != nil {
			return nil, err
		}
		stop := instance.Stop{Policy: string(history.Auto)}
		over := !inst.Job.IsZero() && !inst.Job.Alive()
		if over {
			stop = orphanStop // its supervisor is about to notice
		}
		if !over && run.Phase == instance.PhaseReady && run.Supervisor.Alive() && (run.Buildkitd.IsZero() || run.Buildkitd.Alive()) {
			u, err := h.already(o, inst, run)
			if err == nil {
				u.Notes = append(u.Notes, h.deadOnes(o.Name)...)
			}
			return u, err
		}
		report, err := h.end(ctx, inst, stop, "", r)
		if err != nil {
			return nil, fmt.Errorf("cleaning up a former builder %s: %w", o.Name, err)
		}
		notes = append(notes, fmt.Sprintf("a former builder %s was cleaned up: %s, %s", o.Name, report.Decision, report.Reason))
	}
	u, err := h.fresh(ctx, dir, o, r)
	if err != nil {
		return nil, err
	}
	u.Notes = append(append(notes, u.Notes...), h.deadOnes(o.Name)...)
	return u, nil
}

// lockName waits for other commands about the same builder, so that of two ups at
// once the second finds what the first has brought up.
func (h Host) lockName(ctx context.Context, name string, r progress.Reporter) (lock *durable.Lock, err error) {
	lock, err = h.State.Lock(ctx, name, nameSilence)
	if errors.Is(err, durable.ErrLocked) {
		err = progress.Do(r, "waiting for another command about "+name, func(progress.Step) error {
			lock, err = h.State.Lock(ctx, name, nameWait)
			return err
		})
	}
	if errors.Is(err, durable.ErrLocked) {
		return nil, fault.Hint(fmt.Errorf("locking builder %s: another command brings it up or down", name), "wait until it is done, and try again")
	}
	return lock, err
}

// already answers for a builder that is up. What was asked for must be what it is.
func (h Host) already(o UpOptions, i *instance.Instance, run instance.Run) (*Upped, error) {
	conflict, hint := "", fmt.Sprintf("end it first: docker stickybuilder down %s; or choose another name", i.Name)
	switch {
	case !o.Job.IsZero() && i.Job.Alive() && o.Job != i.Job:
		// Either one's down would end it under the other.
		conflict = fmt.Sprintf("another job that it is there for (%s, process %d)", first(i.JobName, "a process"), i.Job.PID)
		hint = "give each job a builder of its own: docker stickybuilder up NAME"
	case o.Disk != "" && o.Disk != i.Disk:
		conflict = fmt.Sprintf("disk %s", i.Disk)
	case o.Key != "" && o.Key != i.Working.Lineage.Key:
		conflict = fmt.Sprintf("key %s", i.Working.Lineage.Key)
	case o.Ref != nil && *o.Ref != i.Working.Lineage.Ref:
		conflict = fmt.Sprintf("ref %s", first(i.Working.Lineage.Ref, `""`))
	case o.ReadOnly && o.Because == "" && !i.ReadOnly && !i.Diskless():
		conflict = "its disk to be committed"
	case o.ReadOnly && i.Volume != nil:
		conflict = fmt.Sprintf("%s, which keeps all that is built, and %s", i.Disk, o.Because)
	case o.ReadOnly && !i.ReadOnly && !i.Diskless() && o.lineage() != i.Working.Lineage:
		// What is untrusted may have been given a disk of its own, and no other.
		conflict = fmt.Sprintf("the disk %s to be committed, and %s", i.Working.Lineage.Name(), o.Because)
	case o.Config != "" && o.Config != i.Config:
		conflict = fmt.Sprintf("configuration %q", i.Config)
	case o.Endpoint != "" && o.Endpoint != i.Endpoint:
		conflict = "the buildkitd at " + endpoint(h.State.Dir(i.Name), i)
	case o.Driver != "" && o.Driver != AutoDriver && o.Driver != first(i.Driver, ProcessDriver):
		conflict = "the driver " + first(i.Driver, ProcessDriver)
	}
	if conflict != "" {
		return nil, fault.Hint(fmt.Errorf("bringing up %s: it is up already, with %s", i.Name, conflict), "%s", hint)
	}
	dir := h.State.Dir(i.Name)
	// The entry may have been removed by hand. Whether it is current is the
	// user's choice by now.
	if _, err := o.Store.Register(entry(dir, i), nil); err != nil {
		return nil, err
	}
	u := upped(StateRunning, dir, i, run)
	u.Notes = []string{fmt.Sprintf("builder %s is up already", i.Name)}
	return u, nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (h Host) fresh(ctx context.Context, dir instance.Dir, o UpOptions, r progress.Reporter) (_ *Upped, err error) {
	p, err := h.plan(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	inst, text, notes := p.inst, p.text, p.notes
	// Before anything is done, and if it is to mount the disk: whoever is killed from here
	// on is found by recover.
	if err := errors.Join(os.MkdirAll(string(dir), 0o700), dir.Save(inst)); err != nil {
		return nil, err
	}
	begun := false
	defer func() {
		if err != nil && !begun {
			err = errors.Join(err, dir.Remove())
		}
	}()
	pool, tidied, err := h.openForUp(ctx, inst)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	notes = append(notes, tidied...)
	var asked permission
	if home, ok := pool.(Remote); ok && !inst.ReadOnly {
		ctx, asked = askToCommit(ctx, home)
		defer asked.end()
	}

	begun = true // from here on there is something to undo
	defer func() {
		if err != nil {
			err = errors.Join(err, h.undo(context.WithoutCancel(ctx), inst))
		}
	}()
	up := ladder{host: h, pool: pool, dir: dir, inst: inst, options: o, progress: r, start: func(lock *durable.Lock) error {
		if err := asked.wait(); err != nil {
			return err
		}
		if !inst.Remote() {
			if err := h.writeConfig(dir, inst, text); err != nil {
				return err
			}
		}
		if err := dir.Save(inst); err != nil {
			return err
		}
		if inst.Container != nil {
			// buildx boots what is in its store.
			if _, err := o.Store.Register(entry(dir, inst), nil); err != nil {
				return err
			}
		}
		return progress.Do(r, starting(inst), func(progress.Step) error { return h.launch(ctx, dir, inst, lock) })
	}}
	err = h.withDisk(ctx, inst, r, up.climb)
	notes = append(notes, up.notes...)
	if err != nil {
		return nil, asked.reason(ctx, err)
	}
	if err := h.register(dir, inst, o); err != nil {
		return nil, err
	}
	run, err := dir.LoadRun()
	if err != nil {
		return nil, err
	}
	u := upped(StateStarted, dir, inst, run)
	for _, r := range inst.Recovered {
		notes = append(notes, r.String())
	}
	if slow := copiesLayers(inst, run); slow != "" {
		notes = append(notes, slow)
	}
	u.Notes = append(notes, copied(inst)...)
	return u, nil
}

func starting(i *instance.Instance) string {
	if i.Remote() {
		return "connecting to " + i.Endpoint
	}
	return "starting buildkitd"
}

func (h Host) writeConfig(dir instance.Dir, i *instance.Instance, text []byte) error {
	if err := dir.MakeSocketDir(); err != nil {
		return err
	}
	config, _, err := daemon.Config(text, i.Config, places(dir, i), i.MaxBytes, i.Entitlements...)
	if err != nil {
		return err
	}
	return durable.WriteFile(dir.File(instance.Config), config, 0o600)
}

// register makes the builder known. What was current before is written down
// before it is changed only in memory; a crash between the two loses no builder,
// only the memory of which one was current.
func (h Host) register(dir instance.Dir, i *instance.Instance, o UpOptions) error {
	previous, err := o.Store.Register(entry(dir, i), o.Use)
	if err != nil {
		return err
	}
	i.Previous, i.Environment = previous, o.EnvFile
	if err := dir.Save(i); err != nil {
		return err
	}
	if o.EnvFile != nil {
		return setEnv(o.EnvFile.Path, i.Name)
	}
	return nil
}

// undo ends what a failed up has made so far.
func (h Host) undo(ctx context.Context, i *instance.Instance) error {
	_, err := h.end(ctx, i, instance.Stop{Policy: string(history.Never)}, "", progress.Discard)
	if err != nil {
		return fmt.Errorf("cleaning up: %w", err)
	}
	return nil
}
