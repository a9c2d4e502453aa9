package sticky

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A ladder brings a daemon up on the best clone that there is: of the head; if that
// can be repaired, of the head without what the daemon makes anew; else of another
// generation, after the head was marked as bad; at last on an empty disk.
type ladder struct {
	host     Host
	pool     Disk
	dir      instance.Dir
	inst     *instance.Instance // its Working and Recovered are filled in
	options  UpOptions
	progress progress.Reporter
	start    func(*durable.Lock) error // starts the daemon on inst.Working

	notes   []string // for the user
	fetched []string // generations that were fetched again
	patient bool     // the daemon has been given more time
}

// maxRungs bounds how many generations are given up before the empty disk.
const maxRungs = 8

func (l *ladder) climb(ctx context.Context) error {
	for rung := 0; ; rung++ {
		l.options.Empty = l.options.Empty || rung >= maxRungs
		lock, err := l.lend(ctx)
		if spoilt := (*disk.Spoilt)(nil); errors.As(err, &spoilt) && ctx.Err() == nil {
			l.fetched = append(l.fetched, spoilt.ID) // once more would be no other
			if err := l.giveUp(ctx, disk.Working{Lineage: spoilt.Lineage, Parent: spoilt.ID}, spoilt); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		bad, err := l.attempt(ctx, lock)
		if bad == nil {
			return errors.Join(err, lock.Close())
		}
		suspect := l.inst.Working
		if err := l.drop(ctx, lock); err != nil {
			return errors.Join(bad, err)
		}
		if err != nil && l.patience(err) {
			continue
		}
		// The disk is to blame only if the daemon starts on another one.
		if err != nil && l.control(ctx) != nil {
			return err
		}
		if err := l.giveUp(ctx, suspect, bad); err != nil {
			return err
		}
	}
}

// attempt starts the daemon on the copy. bad says what may be wrong with that, and err, if
// the daemon was tried, why it does not start; both are nil once it runs.
func (l *ladder) attempt(ctx context.Context, lock *durable.Lock) (bad, err error) {
	if bad, err = l.examine(ctx); bad != nil || err != nil {
		return bad, err
	}
	if err = l.start(lock); err != nil && l.inst.Working.Warm() && ctx.Err() == nil {
		bad = err
	}
	return bad, err
}

// morePatience is how many times as long the daemon may take once it was not ready in time.
const morePatience = 4

// patience says whether the daemon is to be given another chance on the same generation,
// with more time: once, if it was not ready in time. On a machine that is busy that says
// nothing about the disk.
func (l *ladder) patience(err error) bool {
	if l.patient || !errors.Is(err, daemon.ErrSlow) {
		return false
	}
	l.notes = append(l.notes, fmt.Sprintf("buildkitd was not ready after %s, and was given %s", l.inst.ReadyTimeout, morePatience*l.inst.ReadyTimeout))
	l.patient, l.inst.ReadyTimeout = true, morePatience*l.inst.ReadyTimeout
	return true
}

// lend makes the working copy.
func (l *ladder) lend(ctx context.Context) (*durable.Lock, error) {
	lock, passed, err := l.host.clone(ctx, l.pool, l.inst, l.options, l.progress)
	if err != nil {
		return nil, err
	}
	w := l.inst.Working
	for i := range l.inst.Recovered {
		if r := &l.inst.Recovered[i]; r.Rung == instance.RungRollback && r.To == "" {
			if r.To = w.Parent; r.To == "" {
				r.Rung = instance.RungCold
			}
		}
	}
	l.notes = append(l.notes, passed...)
	if !l.inst.Elsewhere() {
		l.notes = append(l.notes, relieve(ctx, l.pool, w.Root, w.Backing)...)
	}
	return lock, nil
}

// drop gives back a working copy that is of no use, and makes room for another one.
func (l *ladder) drop(ctx context.Context, lock *durable.Lock) error {
	err := errors.Join(lock.Close(), l.pool.Discard(ctx, &l.inst.Working), l.dir.Renew())
	id, idErr := l.host.newID()
	l.inst.Working = disk.Working{ID: id, Lineage: l.inst.Working.Lineage}
	return errors.Join(err, idErr, l.dir.Save(l.inst))
}

// examine checks a clone, and repairs it if that is possible. bad says what is wrong
// with it, err why that cannot be told.
func (l *ladder) examine(ctx context.Context) (bad, err error) {
	w := l.inst.Working
	if !w.Warm() {
		return nil, nil
	}
	err = progress.Do(l.progress, "checking the databases", func(step progress.Step) error {
		bad, err = examine(ctx, w.Root)
		if bad == nil || err != nil {
			return err
		}
		cost, ok, err := daemon.Repair(w.Root, bad)
		if !ok || err != nil {
			return err
		}
		if _, worse := daemon.CrossCheck(ctx, w.Root); worse != nil {
			bad = errors.Join(bad, worse)
			return nil
		}
		l.recovered(instance.Recovery{Rung: instance.RungRepair, Generation: w.Parent, Reason: oneLine(bad), To: w.Parent, Cost: cost})
		bad = nil
		return nil
	})
	return bad, err
}

// examine tells what is wrong with a root from why that cannot be told.
func examine(ctx context.Context, root string) (bad, err error) {
	bad = sound(ctx, root)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case daemon.CannotTell(bad):
		return nil, fmt.Errorf("checking the databases: %w", bad)
	}
	return bad, nil
}

// control starts the daemon on an empty disk, and ends it. An error means that a disk
// is not what keeps it from starting.
func (l *ladder) control(ctx context.Context) error {
	return progress.Do(l.progress, "trying an empty disk", func(progress.Step) error {
		o := l.options
		o.Empty = true
		lock, _, err := l.host.clone(ctx, l.pool, l.inst, o, l.progress)
		if err != nil {
			return err
		}
		err = l.start(lock)
		lock.Close()
		if run, runErr := l.dir.LoadRun(); err == nil && runErr == nil && run.Supervisor.Alive() {
			err = l.host.askSupervisor(ctx, l.dir, run.Supervisor, instance.Stop{Policy: string(history.Never)}, progress.Discard)
		}
		return errors.Join(err, l.drop(ctx, nil))
	})
}

// giveUp makes sure that the generation of a copy that was bad is not cloned again.
// Where that is not possible, the builder begins with an empty disk.
func (l *ladder) giveUp(ctx context.Context, w disk.Working, bad error) error {
	r := instance.Recovery{Rung: instance.RungRollback, Generation: w.Parent, Reason: oneLine(bad)}
	if home, ok := l.pool.(Remote); ok && !slices.Contains(l.fetched, w.Parent) {
		l.fetched = append(l.fetched, w.Parent)
		if err := home.Forget(ctx, w.Parent); err == nil {
			r.Rung, r.To = instance.RungFetch, w.Parent
			l.recovered(r)
			return nil
		}
	}
	shelf, ok := l.pool.(Shelf)
	if !ok {
		l.options.Empty = true
		l.recovered(r)
		return nil
	}
	of := w.Lineage
	if w.Origin != (disk.Lineage{}) {
		of = w.Origin
	}
	_, err := shelf.Mark(ctx, of, w.Parent, r.Reason)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, fs.ErrNotExist): // collected meanwhile
	case err != nil:
		l.options.Empty = true
		l.notes = append(l.notes, err.Error())
	}
	l.recovered(r)
	return nil
}

func (l *ladder) recovered(r instance.Recovery) { l.inst.Recovered = append(l.inst.Recovered, r) }

// maxReason bounds what is said about a disk that is not sound.
const maxReason = 300

func oneLine(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}
