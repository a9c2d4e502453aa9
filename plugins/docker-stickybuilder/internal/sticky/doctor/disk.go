package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// registryTime bounds how long a registry may take to answer.
const registryTime = 20 * time.Second

func (d *Diagnosis) disk(ctx context.Context, o Options) {
	if o.volume() {
		d.volume(ctx, o)
		return
	}
	if o.Disk.Scheme == disk.SchemeOCI {
		d.registry(ctx, o)
	}
	dir := tree.Nearest(o.Home)
	if err := unix.Access(dir, unix.W_OK); err != nil {
		d.add(Disk, "directory", Missing, fmt.Sprintf("%s cannot be written: %v", dir, err), "name another pool with --disk dir:PATH")
		return
	}
	d.space(dir)
	if o.Disk.Scheme != disk.None {
		d.cloning(o, dir)
	}
}

// What should be free for a first disk, in bytes.
const enough = 10 << 30

func (d *Diagnosis) space(dir string) {
	s, err := tree.Free(dir)
	switch {
	case err != nil:
		d.add(Disk, "space", Warning, err.Error(), "")
	case daemon.Room(s) != nil:
		d.add(Disk, "space", Missing, fmt.Sprintf("at %s %v", dir, daemon.Room(s)), "free some, or name a pool elsewhere with --disk dir:PATH")
	case s.Bytes < enough:
		d.add(Disk, "space", Warning, fmt.Sprintf("%.1f GB are free at %s", float64(s.Bytes)/1e9, dir), "free some, or bound the disk with --max-size")
	default:
		d.add(Disk, "space", OK, fmt.Sprintf("%.0f GB are free at %s", float64(s.Bytes)/1e9, dir), "")
	}
}

// cloning tells what a new pool would be, as dirpool makes it.
func (d *Diagnosis) cloning(o Options, dir string) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		d.add(Disk, "cloning", Warning, err.Error(), "")
		return
	}
	otherwise := "every job copies its disk"
	switch st.Type {
	case unix.BTRFS_SUPER_MAGIC:
		d.add(Disk, "cloning", OK, "btrfs: by snapshots", "")
		return
	case unix.XFS_SUPER_MAGIC:
		otherwise = "every job clones its disk file by file"
	}
	if why, hint := noImage(o); why != "" {
		d.add(Disk, "cloning", Warning, why+": "+otherwise, hint)
		return
	}
	d.add(Disk, "cloning", OK, "by snapshots, in a file with btrfs", "")
}

// noImage says why a pool could not be in a file of its own, "" if it can.
func noImage(o Options) (why, hint string) {
	if daemon.Find(o.Path, "mkfs.btrfs") == "" {
		return "mkfs.btrfs is not installed", "apt-get install btrfs-progs, or put the pool on btrfs"
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return "there are no loop devices", "modprobe loop; in a container, run it with --privileged, or put the pool on btrfs"
	}
	if b, err := os.ReadFile("/proc/filesystems"); err == nil && !hasLine(string(b), "btrfs") {
		return "the kernel has not loaded btrfs", "modprobe btrfs"
	}
	return "", ""
}

func (d *Diagnosis) registry(ctx context.Context, o Options) {
	ctx, cancel := context.WithTimeout(ctx, registryTime)
	defer cancel()
	client, err := registry.Open(o.Disk.Path, registry.Options{Keychain: o.Keychain, UserAgent: o.UserAgent})
	if err != nil {
		d.add(Disk, "registry", Missing, err.Error(), "")
		return
	}
	err = client.CheckPush(ctx)
	var refused *registry.Error
	switch {
	case err == nil:
		d.add(Disk, "registry", OK, "may be pushed to: "+o.Disk.Path, "")
	case errors.As(err, &refused) && (refused.Status == 401 || refused.Status == 403):
		d.add(Disk, "registry", Missing, err.Error(), "log in: docker login "+client.Registry()+"; or bring the builder up with --read-only")
	default:
		d.add(Disk, "registry", Missing, err.Error(), "is the registry "+client.Registry()+" up and reachable from here?")
	}
}

func (d *Diagnosis) volume(ctx context.Context, o Options) {
	engine, err := o.connect(ctx)
	if err != nil {
		return // as the area of the driver says
	}
	defer engine.Close()
	v, err := engine.FindVolume(ctx, o.Disk.Path)
	switch {
	case err != nil:
		d.add(Disk, "volume", Missing, err.Error(), "")
	case v == nil:
		d.add(Disk, "volume", OK, o.Disk.Path+" will be made", "")
	case v.Busy() != nil:
		d.add(Disk, "volume", Missing, v.Busy().Error(), fault.HintOf(v.Busy()))
	case !v.Ours:
		d.add(Disk, "volume", OK, o.Disk.Path+" is there, and somebody else's: it is used, and never removed", "")
	default:
		d.add(Disk, "volume", OK, o.Disk.Path+" is there", "")
	}
}
