package main

import (
	"context"
	"errors"
	"fmt"
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

func scale(ctx context.Context, b *bed.Bed, o options, pool string, gb float64, other *ScalingRow) (*ScalingRow, error) {
	row := &ScalingRow{Pool: pool, GB: gb, Files: int(gb * float64(o.files))}
	return row, withPool(ctx, b, pool, func(p place, disk string) error {
		if _, _, err := stickyUp(ctx, b, disk, p.toml, "--max-size", "0"); err != nil {
			return err
		}
		if err := fillDisk(ctx, b, pool, gb, row.Files); err != nil {
			return err
		}
		if _, err := stickyDown(ctx, b); err != nil {
			return err
		}
		for range o.repeat {
			u, up, err := stickyUp(ctx, b, disk, p.toml, "--max-size", "0")
			if err != nil {
				return err
			}
			down, err := stickyDown(ctx, b, "--commit", "always")
			if err != nil {
				return err
			}
			row.Method = u.Clone.Method
			row.Up, row.Down = append(row.Up, up.Wall), append(row.Down, down.wall)
			row.Clone = append(row.Clone, time.Duration(u.Clone.Milliseconds)*time.Millisecond)
			row.Ready = append(row.Ready, time.Duration(u.ReadyMillis)*time.Millisecond)
			if err := bootstrapOnce(ctx, p, other); err != nil {
				return err
			}
		}
		return nil
	})
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

// fillDisk has a build leave files and extents. On filesystems where an extent
// can be there without having been written it takes no space of this machine's.
func fillDisk(ctx context.Context, b *bed.Bed, pool string, gb float64, files int) error {
	src, err := b.Work("src")
	if err != nil {
		return err
	}
	bytes := int64(gb * 1e9)
	large := fmt.Sprintf("for i in 1 2 3 4 5 6 7 8; do fallocate -l %d /large-$i; done", bytes/8)
	if pool == "copy" {
		large = fmt.Sprintf("head -c %d /dev/urandom > /large", bytes)
	}
	text := fmt.Sprintf("FROM %s\nRUN mkdir /many && cd /many && seq %d | split -l 20 -a 5 --additional-suffix=.txt - f\nRUN %s\n", b.Base, 20*files, large)
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
