package sticky

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/durable"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Fallbacks lists what to clone if a lineage has no head yet, in order. named are
// the values of --fallback: KEY, KEY@REF or @REF; a KEY stands for its lineage of
// the own ref, of one of bases, or of none. Without any, it is the own key on
// bases, which are the branches that the own ref goes back to, and then without
// a ref. A single "" turns off all of this.
//
// Before there were refs a branch's key was KEY@REF, and what was committed to
// that is still found, on any platform by the same platform.
func Fallbacks(own disk.Lineage, named, bases []string) []disk.Lineage {
	if len(named) == 1 && named[0] == "" {
		return nil
	}
	var out []disk.Lineage
	add := func(key, ref string) {
		for _, l := range []disk.Lineage{{Key: key, Ref: ref, Platform: own.Platform}, {Key: disk.Lineage{Key: key, Ref: ref}.Name(), Platform: own.Platform}} {
			if l != own && !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	everywhere := func(key string) {
		for _, ref := range bases {
			if ref != "" {
				add(key, ref)
			}
		}
		add(key, "")
	}
	add(own.Key, own.Ref) // by its old name
	for _, n := range named {
		switch key, ref, found := strings.Cut(n, "@"); {
		case found && key == "":
			add(own.Key, ref)
		case found:
			add(key, ref)
		case n != "":
			add(n, own.Ref)
			everywhere(n)
		}
	}
	if len(named) == 0 {
		everywhere(own.Key)
	}
	return out
}

func (o UpOptions) lineage() disk.Lineage {
	l := disk.Lineage{Key: first(o.Key, o.DefaultKey), Ref: o.DefaultRef, Platform: o.Platform}
	if o.Ref != nil {
		l.Ref = *o.Ref
	}
	return l
}

func copied(i *instance.Instance) []string {
	switch c := i.Working.Clone; {
	case c.Method == "copy":
		return []string{fmt.Sprintf("the disk was copied, %.1f MB in %d files and directories, since its pool cannot be cloned without: %s", float64(c.Bytes)/1e6, c.Entries, c.Why)}
	case c.Why != "":
		return []string{"the next job on this disk will copy it, since its pool cannot be cloned without: " + c.Why}
	}
	return nil
}

// nowhere is a lineage that has no head, since its key is none.
var nowhere = disk.Lineage{Key: "\nnothing"}

// clone lends the working copy. notes say which fallbacks were passed over.
func (h Host) clone(ctx context.Context, pool Disk, i *instance.Instance, o UpOptions, r progress.Reporter) (lock *durable.Lock, notes []string, err error) {
	if i.Elsewhere() {
		r = progress.Discard // it is a place for locks
	}
	err = progress.Do(r, "cloning disk "+i.Disk, func(step progress.Step) error {
		own, before := i.Working.Lineage, traffic(pool)
		from := nowhere
		if !o.Empty {
			if from, notes, err = source(ctx, pool, own, Fallbacks(own, o.Fallback, o.Bases), step); err != nil {
				return err
			}
		}
		w, l, err := pool.Clone(ctx, own, from, i.Working.ID, step)
		if err == nil {
			switch {
			case i.Diskless():
				w.Clone.Why = "" // nobody is going to clone it
			case i.Volume != nil:
				w.Clone = i.Working.Clone
			}
			i.Working, lock = *w, l
			i.Working.Clone.Traffic = traffic(pool).Since(before)
			fmt.Fprintf(step, "%s: %s\n", w.Clone.Method, first(w.Parent, own.Name()))
		}
		return err
	})
	return lock, notes, err
}

// source returns the lineage to clone for l: itself, or the first fallback that
// has a head. notes say which ones could not be read, and that the own head was damaged,
// which cloning it mends.
func source(ctx context.Context, pool Disk, l disk.Lineage, fallbacks []disk.Lineage, step progress.Step) (from disk.Lineage, notes []string, err error) {
	head, err := pool.Head(ctx, l)
	if errors.Is(err, disk.ErrBad) {
		return l, []string{fmt.Sprintf("the disk begins with another generation than its last: %v", err)}, nil
	}
	if err != nil || head != nil {
		return l, nil, err
	}
	for _, f := range fallbacks {
		head, err := pool.Head(ctx, f)
		if ctx.Err() != nil {
			return l, nil, context.Cause(ctx)
		}
		if err != nil {
			notes = append(notes, fmt.Sprintf("the fallback %s cannot be used: %v", f.Name(), err))
			continue
		}
		if head != nil {
			fmt.Fprintf(step, "%s has no generation yet: falling back to %s\n", l.Name(), f.Name())
			return f, notes, nil
		}
	}
	return l, notes, nil
}
