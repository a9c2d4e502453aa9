package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
)

// The constants of Blacksmith's setup-docker-builder.
const (
	readyPoll   = time.Second // between two "debug workers"
	keepFor     = "168h"
	umountTries = 3
	umountPause = 100 * time.Millisecond
	diskSize    = 64 << 30
)

var mkfsArgs = []string{"mkfs.ext4", "-q", "-m0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", "-F"}

// A blacksmith goes through the steps of Blacksmith's setup-docker-builder, with an image
// file on a loop device in the place of a block device that is cloned over the network.
// That its agent hands out such a device within some seconds is not re-enacted, so up
// is too quick by that; neither are its waits for processes by name.
type blacksmith struct {
	place
	daemon *measure.Daemon
	addr   string
	loop   string
	copied int64
}

func (s *blacksmith) name() string              { return "Blacksmith's steps, loop device" }
func (s *blacksmith) caching([]string) []string { return nil }
func (s *blacksmith) parent() string            { return filepath.Join(s.dir, "disk.img") }
func (s *blacksmith) clone() string             { return filepath.Join(s.dir, "clone.img") }
func (s *blacksmith) root() string              { return filepath.Join(s.b.Scratch, "machine", "buildkit") }

func (s *blacksmith) up(ctx context.Context) error {
	s.copied = 0
	if err := s.getDisk(ctx); err != nil {
		return err
	}
	var err error
	if s.loop, err = s.b.Run(ctx, "losetup", "--find", "--show", s.clone()); err != nil {
		return err
	}
	kind, _ := s.b.Run(ctx, "blkid", "-o", "value", "-s", "TYPE", s.loop)
	format := append(append([]string{}, mkfsArgs...), s.loop)
	if kind == "ext4" {
		format = []string{"resize2fs", "-f", s.loop}
	}
	if _, err := s.b.Run(ctx, format...); err != nil {
		return err
	}
	if err := os.MkdirAll(s.root(), 0o755); err != nil {
		return err
	}
	if _, err := s.b.Run(ctx, "mount", s.loop, s.root()); err != nil {
		return err
	}
	toml := filepath.Join(s.b.Scratch, "machine", "buildkitd.toml")
	if err := s.b.Config(toml, fmt.Sprintf("[worker.oci]\n  enabled = true\n  gc = false\n  max-parallelism = %d\n  snapshotter = \"overlayfs\"\n[worker.containerd]\n  enabled = false\n", runtime.NumCPU()), s.meter.Addr()); err != nil {
		return err
	}
	s.daemon, s.addr, err = startBuildkitd(ctx, s.place, s.root(), toml, readyPoll,
		"--debug", "--allow-insecure-entitlement", "security.insecure", "--allow-insecure-entitlement", "network.host")
	return err
}

// getDisk clones the parent: by reflink where the host can, else by copying.
func (s *blacksmith) getDisk(ctx context.Context) error {
	if _, err := os.Stat(s.parent()); errors.Is(err, os.ErrNotExist) {
		return errors.Join(os.WriteFile(s.clone(), nil, 0o600), os.Truncate(s.clone(), diskSize))
	}
	if _, err := s.b.Run(ctx, "cp", "--reflink=always", s.parent(), s.clone()); err == nil {
		return nil
	}
	s.copied = measure.DiskUsage(s.parent())
	_, err := s.b.Run(ctx, "cp", "--sparse=always", s.parent(), s.clone())
	return err
}

func (s *blacksmith) down(ctx context.Context) error {
	if s.daemon != nil {
		if _, err := s.b.Run(ctx, s.b.Tool("buildctl"), "--addr", s.addr, "prune", "--keep-duration", keepFor, "--all"); err != nil {
			s.b.Log("  pruning: %v", err) // which fails no job
		}
		s.daemon.Stop()
		s.daemon = nil
	}
	if s.loop == "" {
		return nil
	}
	if err := s.unmount(ctx); err != nil {
		return err
	}
	if _, err := s.b.Run(ctx, "blockdev", "--flushbufs", s.loop); err != nil {
		return err
	}
	if _, err := s.b.Run(ctx, "losetup", "--detach", s.loop); err != nil {
		return err
	}
	s.loop = ""
	if err := os.Rename(s.clone(), s.parent()); err != nil {
		return err
	}
	_, err := s.b.Run(ctx, s.b.Buildx, "rm", builderName)
	return err
}

// unmount syncs this disk only: others on the machine are not the job's.
func (s *blacksmith) unmount(ctx context.Context) (err error) {
	if mounts, _ := os.ReadFile("/proc/self/mounts"); !strings.Contains(string(mounts), " "+s.root()+" ") {
		return nil
	}
	if _, err := s.b.Run(ctx, "sync", "--file-system", s.root()); err != nil {
		return err
	}
	for range umountTries {
		if _, err = s.b.Run(ctx, "umount", s.root()); err == nil {
			return nil
		}
		time.Sleep(umountPause)
	}
	return err
}

func (s *blacksmith) kept(context.Context) (int64, error) { return measure.DiskUsage(s.dir), nil }
func (s *blacksmith) moved() int64                        { return s.copied }
