package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/bed"
)

// A ScalingRow is what a disk of one size took in one kind of pool.
type ScalingRow struct {
	Pool   string          `json:"pool"`
	GB     float64         `json:"gb"`
	Files  int             `json:"files"`
	Method string          `json:"method"`
	Up     []time.Duration `json:"up"`    // to the first usable builder
	Clone  []time.Duration `json:"clone"` // within up
	Ready  []time.Duration `json:"ready"` // within up: buildkitd's own start
	Down   []time.Duration `json:"down"`  // stop, check and commit
}

// bootstrap is the row of buildx's own docker-container driver.
const bootstrap = "buildx create --bootstrap"

// Kinds of pools, by the filesystem that they are on. "copy" is one whose clones
// are copies because there is no mkfs.btrfs.
var allPools = []string{"ext4", "btrfs", "xfs", "copy"}

// poolSpace is how big the filesystem around a pool is. Its file is sparse.
const poolSpace = 128 << 30

// scaling clones and commits disks of growing size, and has buildx make a builder of its
// own in turns with that.
func scaling(ctx context.Context, b *bed.Bed, o options) ([]ScalingRow, error) {
	var rows []ScalingRow
	other := ScalingRow{Pool: bootstrap}
	for _, pool := range o.pools {
		for _, gb := range o.sizes {
			if pool == "copy" && gb > o.copied {
				continue
			}
			row, err := scale(ctx, b, o, pool, gb, &other)
			if err != nil {
				return nil, fmt.Errorf("a disk of %g GB on %s: %w", gb, pool, err)
			}
			rows = append(rows, *row)
			b.Log("  %s, %g GB: up %s, of which %s by clone (%s); down %s; buildx create %s", pool, gb,
				round(median(row.Up)), round(median(row.Clone)), row.Method, round(median(row.Down)), round(median(other.Up)))
		}
	}
	return append(rows, other), nil
}

func scale(ctx context.Context, b *bed.Bed, o options, pool string, gb float64, other *ScalingRow) (row *ScalingRow, err error) {
	p, err := newPlace(b)
	if err != nil {
		return nil, err
	}
	defer p.meter.Close()
	for _, dir := range []string{"state", "docker"} {
		if _, err := b.Work(dir); err != nil {
			return nil, err
		}
	}
	dir, unmount, err := mountPool(ctx, b, pool)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			_, _ = stickyDown(stop, b, "--commit", "never", "--drain-timeout", "0s")
		}
		err = errors.Join(err, unmount())
	}()
	disk := "dir:" + filepath.Join(dir, "pool")
	if pool == "copy" {
		if err := plainPool(filepath.Join(dir, "pool")); err != nil {
			return nil, err
		}
	}
	row = &ScalingRow{Pool: pool, GB: gb, Files: int(gb * float64(o.files))}
	if _, _, err := stickyUp(ctx, b, disk, p.toml, "--max-size", "0"); err != nil {
		return nil, err
	}
	if err := fillDisk(ctx, b, *row); err != nil {
		return nil, err
	}
	if _, err := stickyDown(ctx, b); err != nil {
		return nil, err
	}
	for range o.repeat {
		u, up, err := stickyUp(ctx, b, disk, p.toml, "--max-size", "0")
		if err != nil {
			return nil, err
		}
		down, err := stickyDown(ctx, b, "--commit", "always")
		if err != nil {
			return nil, err
		}
		row.Method = u.Clone.Method
		row.Up, row.Down = append(row.Up, up.Wall), append(row.Down, down.Wall)
		row.Clone = append(row.Clone, time.Duration(u.Clone.Milliseconds)*time.Millisecond)
		row.Ready = append(row.Ready, time.Duration(u.ReadyMillis)*time.Millisecond)
		if err := bootstrapOnce(ctx, p, other); err != nil {
			return nil, err
		}
	}
	return row, nil
}

func bootstrapOnce(ctx context.Context, p place, row *ScalingRow) error {
	start := time.Now()
	err := createContainer(ctx, p)
	row.Up = append(row.Up, time.Since(start))
	start = time.Now()
	_, rmErr := p.b.Run(context.WithoutCancel(ctx), p.b.Buildx, "rm", "--force", builderName)
	row.Down = append(row.Down, time.Since(start))
	return errors.Join(err, rmErr)
}

// mountPool mounts an empty filesystem for a pool.
func mountPool(ctx context.Context, b *bed.Bed, pool string) (dir string, unmount func() error, err error) {
	mkfs := map[string]string{"ext4": "mkfs.ext4", "copy": "mkfs.ext4", "xfs": "mkfs.xfs", "btrfs": "mkfs.btrfs"}[pool]
	top, err := b.Work("pool")
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
		_, err := b.Run(stop, "umount", dir)
		return errors.Join(err, os.RemoveAll(top))
	}, nil
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

// fillDisk has a build leave files and extents. On filesystems where an extent
// can be there without having been written it takes no space of this machine's.
func fillDisk(ctx context.Context, b *bed.Bed, row ScalingRow) error {
	src, err := b.Work("src")
	if err != nil {
		return err
	}
	bytes := int64(row.GB * 1e9)
	large := fmt.Sprintf("for i in 1 2 3 4 5 6 7 8; do fallocate -l %d /large-$i; done", bytes/8)
	if row.Pool == "copy" {
		large = fmt.Sprintf("head -c %d /dev/urandom > /large", bytes)
	}
	text := fmt.Sprintf("FROM %s\nRUN mkdir /many && cd /many && seq %d | split -l 20 -a 5 --additional-suffix=.txt - f\nRUN %s\n", b.Base, 20*row.Files, large)
	if err := writeFiles(src, map[string]string{"Dockerfile": text}); err != nil {
		return err
	}
	_, err = b.Run(ctx, b.Buildx, "build", "--builder", builderName, "--progress", "plain", src)
	return err
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)/2]
}

func scalingMarkdown(rows []ScalingRow) string {
	var base time.Duration
	for _, r := range rows {
		if r.Pool == bootstrap {
			base = median(r.Up)
		}
	}
	var cells [][]string
	for _, r := range rows {
		title, files := fmt.Sprintf("%s, %g GB", r.Pool, r.GB), fmt.Sprint(r.Files)
		if r.Pool == bootstrap {
			title, files = "`"+bootstrap+"`, and `rm`", ""
		}
		cells = append(cells, []string{
			title, files, r.Method, markdown.Seconds(median(r.Up)), markdown.Ratio(median(r.Up), base),
			milliseconds(r.Clone), milliseconds(r.Ready), markdown.Seconds(median(r.Down)),
		})
	}
	return markdown.Table([]string{"pool on", "files", "clone by", "up s", "× buildx", "clone ms", "buildkitd ms", "down s"}, cells)
}

func milliseconds(all []time.Duration) string {
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprint(median(all).Milliseconds())
}
