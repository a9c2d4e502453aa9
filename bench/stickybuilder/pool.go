package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/bed"
)

// Kinds of pools, by the filesystem that they are on. "copy" is one whose clones
// are copies because there is no mkfs.btrfs.
var allPools = []string{"ext4", "btrfs", "xfs", "copy"}

// poolSpace is how big the filesystem around a pool is. Its file is sparse.
const poolSpace = 128 << 30

// withPool gives measure a machine that has nothing but an empty pool, and takes
// down a builder that measure has left because of an error.
func withPool(ctx context.Context, b *bed.Bed, pool string, measure func(p place, disk string) error) (err error) {
	p, err := newPlace(b)
	if err != nil {
		return err
	}
	defer p.meter.Close()
	for _, dir := range []string{"state", "docker"} {
		if _, err := b.Work(dir); err != nil {
			return err
		}
	}
	dir, unmount, err := mountPool(ctx, b, pool)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			_, _ = stickyDown(stop, b, "--commit", "never", "--drain-timeout", "0s")
		}
		err = errors.Join(err, unmount())
	}()
	if pool == "copy" {
		if err := plainPool(filepath.Join(dir, "pool")); err != nil {
			return err
		}
	}
	return measure(p, "dir:"+filepath.Join(dir, "pool"))
}

// mountPool mounts an empty filesystem for a pool.
func mountPool(ctx context.Context, b *bed.Bed, pool string) (dir string, unmount func() error, err error) {
	mkfs := map[string]string{"ext4": "mkfs.ext4", "copy": "mkfs.ext4", "xfs": "mkfs.xfs", "btrfs": "mkfs.btrfs"}[pool]
	top, err := os.MkdirTemp(b.Scratch, "pool-")
	if err != nil {
		return "", nil, err
	}
	image, dir := filepath.Join(top, "image"), filepath.Join(top, "mnt")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(image, nil, 0o600), os.Truncate(image, poolSpace)); err != nil {
		return "", nil, err
	}
	if _, err := b.Run(ctx, mkfs, "-q", image); err != nil {
		return "", nil, err
	}
	if _, err := b.Run(ctx, "mount", "-o", "loop", image, dir); err != nil {
		return "", nil, err
	}
	return dir, func() error {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return errors.Join(unmountPool(stop, b, dir), os.RemoveAll(top))
	}, nil
}

// unmountPool waits for whoever has made a mount namespace meanwhile, as engines do for
// their containers, and so holds a copy of the mount for a moment.
func unmountPool(ctx context.Context, b *bed.Bed, dir string) (err error) {
	for range 60 {
		if _, err = b.Run(ctx, "umount", dir); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(500 * time.Millisecond)
	}
	return err
}

// plainPool makes a pool that has plain files, as one that was made where there is no
// mkfs.btrfs.
func plainPool(dir string) error {
	for _, d := range []string{"lineages", "work", "trash"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "pool.json"), []byte(`{"format":1}`), 0o600)
}
