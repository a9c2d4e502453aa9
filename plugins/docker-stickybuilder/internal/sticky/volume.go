package sticky

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/container"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/volume"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// ErrNoGenerations means that the disk is a docker volume, of which there are none.
var ErrNoGenerations = errors.New("a docker volume has no generations: what is built stays in it")

var _ volume.Files = (*container.Keeper)(nil)

// volumeOf is what a --disk value says about a volume, nil if it names another disk.
func volumeOf(spec string) *instance.Volume {
	s, err := disk.ParseSpec(spec)
	if err != nil || s.Scheme != disk.SchemeVolume {
		return nil
	}
	return &instance.Volume{Name: s.Path}
}

// engine connects to the engine of a builder. One that is given a directory of this machine
// has to be here.
func (h Host) engine(ctx context.Context, i *instance.Instance) (*container.Engine, error) {
	if i.Volume != nil {
		return container.ConnectAnywhere(ctx, i.Container.Engine, h.Reach)
	}
	return container.Connect(ctx, i.Container.Engine)
}

// withDisk brings a daemon up. If its disk is a volume, that is got ready before, and nobody
// else can do so until the daemon runs.
func (h Host) withDisk(ctx context.Context, i *instance.Instance, r progress.Reporter, up func(context.Context) error) error {
	if i.Volume == nil {
		return up(ctx)
	}
	if err := h.prepareVolume(ctx, i, r); err != nil {
		return err
	}
	return errors.Join(up(ctx), h.releaseVolume(context.WithoutCancel(ctx), i))
}

// prepareVolume gets the volume of a builder ready for a daemon: it is made if there is
// none, and what the last daemon has left in it is checked and, if need be, repaired or
// removed.
func (h Host) prepareVolume(ctx context.Context, i *instance.Instance, r progress.Reporter) error {
	began := h.Now()
	err := progress.Do(r, "examining volume "+i.Volume.Name, func(step progress.Step) error {
		engine, err := h.engine(ctx, i)
		if err != nil {
			return err
		}
		defer engine.Close()
		p := preparing{host: h, engine: engine, inst: i}
		if err := p.prepare(ctx); err != nil {
			return errors.Join(err, engine.ReleaseKeeper(context.WithoutCancel(ctx), i.Volume.Name, i.Working.ID))
		}
		for _, r := range i.Recovered {
			fmt.Fprintln(step, r)
		}
		return nil
	})
	i.Working.Clone = disk.Clone{Method: disk.SchemeVolume, Milliseconds: h.Now().Sub(began).Milliseconds()}
	return err
}

// releaseVolume removes what keeps others from the volume until the daemon does.
func (h Host) releaseVolume(ctx context.Context, i *instance.Instance) error {
	engine, err := h.engine(ctx, i)
	if err != nil {
		return err
	}
	defer engine.Close()
	return engine.ReleaseKeeper(ctx, i.Volume.Name, i.Working.ID)
}

type preparing struct {
	host   Host
	engine *container.Engine
	inst   *instance.Instance
}

func (p preparing) prepare(ctx context.Context) error {
	name := p.inst.Volume.Name
	v, err := p.engine.FindVolume(ctx, name)
	if err != nil {
		return err
	}
	if v == nil {
		if err := p.engine.MakeDiskVolume(ctx, name); err != nil {
			return err
		}
	}
	keeper, err := p.engine.Keep(ctx, name, p.inst.Working.ID)
	if err != nil {
		return err
	}
	// Only now nobody can come to use it meanwhile, but those who do not ask.
	if v, err = p.engine.FindVolume(ctx, name); err != nil {
		return err
	} else if v == nil {
		return fmt.Errorf("using volume %s: somebody has removed it", name)
	}
	if err := v.Busy(); err != nil {
		return err
	}
	s, err := p.examine(ctx, keeper)
	if err != nil {
		return fmt.Errorf("using volume %s: %w", name, err)
	}
	if s.Bad != nil && !s.Mend {
		if keeper, err = p.reset(ctx, keeper, v, s.Bad); err != nil {
			return err
		}
		s.Warm = false
	}
	p.inst.Volume.Warm = s.Warm
	p.note(s)
	return volume.Take(ctx, keeper, volume.Mark{Builder: p.inst.Name, ID: p.inst.Working.ID, Since: p.host.Now().UTC()})
}

func (p preparing) examine(ctx context.Context, keeper *container.Keeper) (volume.State, error) {
	dir := p.host.State.Dir(p.inst.Name).File(instance.Copied)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return volume.State{}, err
	}
	defer os.RemoveAll(dir)
	return volume.Examine(ctx, keeper, dir)
}

// reset removes a volume that cannot be repaired, and makes it anew. Somebody else's is left
// as it is.
func (p preparing) reset(ctx context.Context, keeper *container.Keeper, v *container.DiskVolume, bad error) (*container.Keeper, error) {
	if !v.Ours {
		return nil, fault.Hint(fmt.Errorf("using volume %s: it is not sound: %w", v.Name, bad),
			"it was not made by docker stickybuilder, and is left as it is: remove it by docker volume rm %s, or name another volume", v.Name)
	}
	if err := keeper.Release(ctx); err != nil {
		return nil, err
	}
	if err := p.engine.RemoveDiskVolume(ctx, v); err != nil {
		return nil, err
	}
	if err := p.engine.MakeDiskVolume(ctx, v.Name); err != nil {
		return nil, err
	}
	return p.engine.Keep(ctx, v.Name, p.inst.Working.ID)
}

// note says what has become of what the last daemon has left.
func (p preparing) note(s volume.State) {
	r := instance.Recovery{Cost: s.Cost}
	switch {
	case s.Bad != nil && s.Mend:
		r.Rung, r.Reason = instance.RungRepair, oneLine(s.Bad)
	case s.Bad != nil:
		r.Rung, r.Reason, r.Cost = instance.RungReset, oneLine(s.Bad), "all that was in it"
	case s.Unclean && s.Warm:
		r.Rung, r.Reason = instance.RungCheck, leftBy(s.Last)
	default:
		return
	}
	p.inst.Recovered = append(p.inst.Recovered, r)
}

// leftBy says whose buildkitd did not end by itself.
func leftBy(m *volume.Mark) string {
	if m == nil {
		return "the buildkitd that had it last was killed"
	}
	return fmt.Sprintf("the buildkitd of builder %s, from %s on, was killed", m.Builder, m.Since.UTC().Format(time.RFC3339))
}

// inVolume says what becomes of what was built, whatever the policy says.
func (e *ending) inVolume() string {
	said := "a volume has no generations, so what was built stays in it"
	if e.clean {
		return said
	}
	return said + "; buildkitd did not end by itself, so the next up checks its databases"
}
