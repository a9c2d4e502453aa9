package sticky

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ocidisk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A placed disk knows where on this machine its working copies are.
type placed interface {
	Place() (dir, backing string)
}

var (
	_ placed = (*dirpool.Pool)(nil)
	_ placed = (*ocidisk.Disk)(nil)
)

// openForUp opens the disk of a builder that is to come. It fails, and makes no pool, if
// there is no space for a daemon, or one would copy every layer though nobody has
// asked for that.
func (h Host) openForUp(ctx context.Context, i *instance.Instance) (Disk, []string, error) {
	s, err := disk.ParseSpec(i.Disk)
	if err != nil {
		return nil, nil, err
	}
	o, home := opening{keep: i.Keep}, h.Home(s)
	if i.Driver == ProcessDriver && i.Snapshotter == "" {
		o.suits = h.Overlay
	}
	if _, err := os.Stat(filepath.Join(home, "pool.json")); !i.Elsewhere() && errors.Is(err, os.ErrNotExist) {
		at := tree.Nearest(home)
		if err := enough(at); err != nil {
			return nil, nil, err
		}
		if o.suits != nil {
			// A pool that makes itself a filesystem does not depend on the one around, which
			// would have to write back what the job has put there so far.
			if err := o.suits(""); errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EPERM) {
				return nil, nil, err
			}
		}
	}
	pool, err := h.open(i.Disk, o)
	if err != nil {
		return nil, nil, err
	}
	notes, err := h.tidyUp(ctx, pool, i)
	if err != nil {
		return nil, nil, errors.Join(err, pool.Close())
	}
	return pool, notes, nil
}

// tidyUp removes what dead jobs left on a disk. If there still is no space for a
// daemon, it gives up what relieve does, and at last fails.
func (h Host) tidyUp(ctx context.Context, pool Disk, i *instance.Instance) (notes []string, err error) {
	if n, err := pool.Sweep(ctx); err != nil {
		notes = append(notes, err.Error())
	} else if n > 0 {
		notes = append(notes, fmt.Sprintf("%d working copies that dead jobs left were removed", n))
	}
	p, ok := pool.(placed)
	if !ok || i.Elsewhere() {
		return notes, nil
	}
	dir, backing := p.Place()
	if enough(dir, backing) != nil {
		notes = append(notes, relieve(ctx, pool, dir, backing)...)
		if t, ok := pool.(tidier); ok {
			err = t.Tidy(ctx)
		}
	}
	return notes, errors.Join(enough(dir, backing), err)
}

// enough fails with disk.ErrNoSpace if one of the places, those that are not empty, has
// no room for a daemon. One that cannot be asked has.
func enough(places ...string) error {
	for _, at := range places {
		if at == "" {
			continue
		}
		if space, err := tree.Free(at); err == nil {
			if err := daemon.Room(space); err != nil {
				return fault.Hint(fmt.Errorf("%w at %s: %w", disk.ErrNoSpace, at, err),
					"see what disks hold and remove what is not needed: docker stickybuilder disk ls, collect garbage: docker stickybuilder disk gc --keep 1, or name a pool elsewhere with --disk dir:PATH")
			}
		}
	}
	return nil
}

// copiesLayers warns of a daemon that took the native snapshotter by itself, "" for
// any other one.
func copiesLayers(i *instance.Instance, run instance.Run) string {
	if run.Snapshotter != daemon.NativeSnapshotter || i.Snapshotter != "" || i.Remote() {
		return ""
	}
	return "buildkitd cannot use overlayfs here and copies every layer, which is slow and takes a lot of space; see docker stickybuilder doctor"
}
