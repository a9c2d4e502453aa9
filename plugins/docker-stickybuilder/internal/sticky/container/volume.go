package container

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// diskLabel is that of volumes that were made to be disks.
const diskLabel = "dev.dockerfactory.stickybuilder.disk"

// A DiskVolume is a volume of the engine that is a builder's disk.
type DiskVolume struct {
	Name    string
	Driver  string
	Created time.Time // zero if the engine does not tell
	Ours    bool      // it was made to be a disk, and not by somebody else
	Users   []string  // containers that run with it
}

// FindVolume describes a volume; nil if the engine has none of that name.
func (e *Engine) FindVolume(ctx context.Context, name string) (*DiskVolume, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	v, err := e.api.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for volume %s: %w", name, err)
	}
	d := &DiskVolume{Name: name, Driver: v.Volume.Driver, Ours: v.Volume.Labels[diskLabel] != ""}
	if t, err := time.Parse(time.RFC3339, v.Volume.CreatedAt); err == nil {
		d.Created = t
	}
	if d.Users, err = e.users(ctx, name); err != nil {
		return nil, err
	}
	return d, nil
}

// users lists the running containers that have a volume mounted: the engine knows that for
// everybody who uses it, from whatever machine.
func (e *Engine) users(ctx context.Context, volume string) ([]string, error) {
	all, err := e.api.ContainerList(ctx, client.ContainerListOptions{Filters: make(client.Filters).Add("volume", volume)})
	if err != nil {
		return nil, fmt.Errorf("looking for containers that use volume %s: %w", volume, err)
	}
	var names []string
	for _, c := range all.Items {
		// The filter takes a place where something is mounted for a name as well.
		mounted := slices.ContainsFunc(c.Mounts, func(m container.MountPoint) bool { return m.Name == volume })
		if mounted && len(c.Names) > 0 {
			names = append(names, strings.TrimPrefix(c.Names[0], "/"))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Busy is disk.ErrInUse while a container runs with the volume, of whomever and from
// whatever machine it is; nil otherwise.
func (d *DiskVolume) Busy() error {
	if d == nil || len(d.Users) == 0 {
		return nil
	}
	err := fmt.Errorf("using volume %s: %w, by container %s", d.Name, disk.ErrInUse, strings.Join(d.Users, ", "))
	if strings.HasPrefix(d.Users[0], Name("")) {
		return fault.Hint(err, "a volume is for one builder at a time: end the other one with docker stickybuilder down, or recover if its supervisor died; or name another volume")
	}
	return fault.Hint(err, "stop what uses it: docker stop %s; or name another volume", d.Users[0])
}

// MakeDiskVolume makes an empty volume that is to be a disk.
func (e *Engine) MakeDiskVolume(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if _, err := e.api.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name, Driver: "local", Labels: map[string]string{diskLabel: "1"}}); err != nil {
		return fmt.Errorf("making volume %s: %w", name, err)
	}
	return nil
}

// RemoveDiskVolume removes a volume that was made to be a disk, with all that is in it. It
// is ErrForeign for another one, and disk.ErrInUse for one that a container has.
func (e *Engine) RemoveDiskVolume(ctx context.Context, d *DiskVolume) error {
	if !d.Ours {
		return fault.Hint(fmt.Errorf("removing volume %s: %w: it was not made by docker stickybuilder", d.Name, ErrForeign), "if nobody needs it: docker volume rm %s", d.Name)
	}
	if err := d.Busy(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	switch _, err := e.api.VolumeRemove(ctx, d.Name, client.VolumeRemoveOptions{}); {
	case cerrdefs.IsConflict(err):
		return fault.Hint(fmt.Errorf("removing volume %s: %w: %w", d.Name, disk.ErrInUse, err), "see who has it: docker ps --all --filter volume=%s", d.Name)
	case err != nil && !cerrdefs.IsNotFound(err):
		return fmt.Errorf("removing volume %s: %w", d.Name, err)
	}
	return nil
}

// Retire ends the daemon of a node, if it is owner's and still runs, as Daemon.Stop
// would: what is in a volume is not to be killed if that can be helped. clean is true if
// it ended within patience.
func (e *Engine) Retire(ctx context.Context, node, owner string, patience time.Duration) (clean bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime+patience)
	defer cancel()
	c, err := e.api.ContainerInspect(ctx, Name(node), client.ContainerInspectOptions{})
	switch {
	case cerrdefs.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking for container %s: %w", Name(node), err)
	case c.Container.Config == nil || !has(c.Container.Config.Env, Owner+"="+owner), c.Container.State == nil || !c.Container.State.Running:
		return false, nil
	}
	seconds := int(patience.Seconds())
	if _, err := e.api.ContainerStop(ctx, c.Container.ID, client.ContainerStopOptions{Timeout: &seconds}); err != nil {
		return false, fmt.Errorf("stopping container %s: %w", Name(node), err)
	}
	c, err = e.api.ContainerInspect(ctx, c.Container.ID, client.ContainerInspectOptions{})
	return err == nil && c.Container.State != nil && c.Container.State.ExitCode <= daemon.CleanStatus, nil
}

// errOtherVolume means that buildx has mounted another volume than it was made to.
var errOtherVolume = errors.New("buildx has given it another volume")

// CheckMounted makes sure that the container of a node has its state in the volume.
func (e *Engine) CheckMounted(ctx context.Context, node, volume string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := e.api.ContainerInspect(ctx, Name(node), client.ContainerInspectOptions{})
	if err != nil {
		return fmt.Errorf("looking for container %s: %w", Name(node), err)
	}
	if !slices.ContainsFunc(c.Container.Mounts, func(m container.MountPoint) bool { return m.Name == volume && m.Destination == Places.Root }) {
		return fmt.Errorf("giving volume %s to container %s: %w", volume, Name(node), errOtherVolume)
	}
	return nil
}
