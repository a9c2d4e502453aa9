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
// own. All take turns, so that what else the machine does befalls all of them.
func scaling(ctx context.Context, b *bed.Bed, o options) ([]ScalingRow, error) {
	var all []*scaled
	for _, pool := range o.pools {
		for _, gb := range o.sizes {
			if pool != "copy" || gb <= o.copied {
				all = append(all, &scaled{row: ScalingRow{Pool: pool, GB: gb, Files: int(gb * float64(o.files))}})
			}
		}
	}
	other := ScalingRow{Pool: bootstrap}
	if err := prepare(ctx, b, all, func() error {
		for range o.repeat {
			for _, s := range all {
				if err := s.once(ctx, b); err != nil {
					return fmt.Errorf("a disk of %g GB on %s: %w", s.row.GB, s.row.Pool, err)
				}
				if err := bootstrapOnce(ctx, s.place, &other); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var rows []ScalingRow
	for _, s := range all {
		b.Log("  %s, %g GB: up %s, of which %s by clone (%s) and %s by buildkitd; down %s; buildx create %s", s.row.Pool, s.row.GB,
			round(median(s.row.Up)), round(median(s.row.Clone)), s.row.Method, round(median(s.row.Ready)), round(median(s.row.Down)), round(median(other.Up)))
		rows = append(rows, s.row)
	}
	return append(rows, other), nil
}

// scaled is a disk that is ready to be cloned.
type scaled struct {
	row   ScalingRow
	place place
	disk  string // --disk
}

// roomy is a bound that no disk comes near to, so that nothing is pruned.
const roomy = "200GB"

// prepare fills all disks, each in a pool of its own, and then runs measure.
func prepare(ctx context.Context, b *bed.Bed, all []*scaled, measure func() error) error {
	if len(all) == 0 {
		return measure()
	}
	s := all[0]
	return withPool(ctx, b, s.row.Pool, func(p place, disk string) error {
		s.place, s.disk = p, disk
		if _, _, err := stickyUp(ctx, b, disk, p.toml, "--max-size", roomy); err != nil {
			return err
		}
		if err := fillDisk(ctx, b, s.row.Pool, s.row.GB, s.row.Files); err != nil {
			return err
		}
		if _, err := stickyDown(ctx, b); err != nil {
			return err
		}
		b.Log("  %s, %g GB: filled", s.row.Pool, s.row.GB)
		return prepare(ctx, b, all[1:], measure)
	})
}

func (s *scaled) once(ctx context.Context, b *bed.Bed) error {
	u, up, err := stickyUp(ctx, b, s.disk, s.place.toml, "--max-size", roomy)
	if err != nil {
		return err
	}
	down, err := stickyDown(ctx, b, "--commit", "always")
	if err != nil {
		return err
	}
	row := &s.row
	row.Method = u.Clone.Method
	row.Up, row.Down = append(row.Up, up.Wall), append(row.Down, down.wall)
	row.Clone = append(row.Clone, time.Duration(u.Clone.Milliseconds)*time.Millisecond)
	row.Ready = append(row.Ready, time.Duration(u.ReadyMillis)*time.Millisecond)
	return nil
}

// beyond is what up took besides buildkitd's own start, in each run.
func (r ScalingRow) beyond() []time.Duration {
	var out []time.Duration
	for i := range min(len(r.Up), len(r.Ready)) {
		out = append(out, r.Up[i]-r.Ready[i])
	}
	return out
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

// Of each file four blocks are written, so that it has four extents, with holes between
// them: what a disk holds in metadata grows with it, and what it takes of this machine's
// disk is a fiftieth of its size.
const (
	fileSize   = 1 << 20
	fileBlocks = 4
)

const writeFilesScript = `for $i (1..%d) { $d = int($i / 1000); mkdir "d$d"; open(F, ">", "d$d/f$i") or die; ` +
	`for $k (0..%d) { sysseek(F, $k * %d, 0); syswrite(F, "x" x 4096) or die } truncate(F, %d) or die; close(F) or die }`

// fillDisk has a build leave files and, on filesystems where an extent can be there
// without having been written, large ones that make up the size.
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
	script := fmt.Sprintf(writeFilesScript, files, fileBlocks-1, fileSize/fileBlocks, fileSize)
	text := fmt.Sprintf("FROM %s\nRUN mkdir /many && cd /many && perl -e '%s'\nRUN %s\n", b.Base, script, large)
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
			milliseconds(r.Ready), milliseconds(r.beyond()), milliseconds(r.Clone), markdown.Seconds(median(r.Down)),
		})
	}
	return markdown.Table([]string{"pool on", "files", "clone by", "up s", "× buildx", "buildkitd ms", "beyond ms", "clone ms", "down s"}, cells)
}

func milliseconds(all []time.Duration) string {
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprint(median(all).Milliseconds())
}
