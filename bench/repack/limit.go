package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
)

// A Limit compares repacking with nothing but compressing.
type Limit struct {
	Image string     `json:"image"`
	Tar   int64      `json:"tar"` // bytes of the merged root filesystem's tar
	Ours  []LimitRow `json:"ours"`
	Zstd  []LimitRow `json:"zstd"`
}

// A LimitRow is one way to compress an image.
type LimitRow struct {
	Name  string          `json:"name"`
	Bytes int64           `json:"bytes"`
	Runs  []measure.Usage `json:"runs"`
}

// zstdLevels are tried in this order, until the result is as small as ours.
var zstdLevels = []int{1, 3, 5, 7, 9, 10, 11, 12, 15}

// limit measures repacking at "balanced" end to end, and the zstd command line
// tool on the merged tar at every level up to the one of equal size.
func limit(ctx context.Context, b *bed.Bed, o options) (*Limit, error) {
	source, err := b.Source(ctx, o.limitImage)
	if err != nil {
		return nil, err
	}
	dir, err := b.Work("limit")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	merged := filepath.Join(dir, "merged.tar")
	if _, err := measure.Run(ctx, measure.Command{Argv: []string{b.Tool("crane"), "export", "--insecure", source, merged}, Env: b.Env(dir)}); err != nil {
		return nil, fmt.Errorf("merging %s: %w", o.limitImage, err)
	}
	info, err := os.Stat(merged)
	if err != nil {
		return nil, err
	}
	l := &Limit{Image: o.limitImage, Tar: info.Size()}
	layout, err := layoutOf(ctx, b, source)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(layout)
	l.Ours = []LimitRow{{Name: "registry → registry, verified"}, {Name: "layout → layout"}}
	for round := range o.repeat {
		if err := l.measureOurs(ctx, b, source, layout, dir); err != nil {
			return nil, err
		}
		if round == 0 {
			if err := l.findLevels(ctx, b, merged); err != nil {
				return nil, err
			}
			continue
		}
		for i := range l.Zstd {
			if l.reaches(l.Zstd[i]) {
				if err := l.Zstd[i].zstd(ctx, merged); err != nil {
					return nil, err
				}
			}
		}
	}
	return l, nil
}

func (l *Limit) measureOurs(ctx context.Context, b *bed.Bed, source, layout, dir string) error {
	if err := b.Results.Empty(); err != nil {
		return err
	}
	dest := b.Results.Addr + "/limit:latest"
	for i, refs := range [][2]string{{"docker://" + source, "docker://" + dest}, {"oci://" + layout, "oci://" + filepath.Join(dir, "out")}} {
		u, _, err := repack(ctx, b, dir, refs[0], refs[1])
		if err != nil {
			return err
		}
		shape, err := bed.ShapeOf(dest)
		if err != nil {
			return err
		}
		l.Ours[i].Runs, l.Ours[i].Bytes = append(l.Ours[i].Runs, u), shape.Bytes
		b.Log("  %s %s", l.Ours[i].Name, u.Wall.Round(10*time.Millisecond))
	}
	return os.RemoveAll(filepath.Join(dir, "out"))
}

// findLevels tries levels, without and with a long window, until one of each is
// as small as ours.
func (l *Limit) findLevels(ctx context.Context, b *bed.Bed, merged string) error {
	for _, long := range []string{"", " --long=27"} {
		for _, level := range zstdLevels {
			row := LimitRow{Name: "zstd -T0 -" + strconv.Itoa(level) + long}
			if err := row.zstd(ctx, merged); err != nil {
				return err
			}
			l.Zstd = append(l.Zstd, row)
			b.Log("  %s %s", row.Name, row.Runs[0].Wall.Round(10*time.Millisecond))
			if l.reaches(row) || row.Runs[0].Wall > 4*measure.Typical(l.Ours[0].Runs).Wall {
				break
			}
		}
	}
	return nil
}

func (l *Limit) reaches(r LimitRow) bool { return r.Bytes <= l.Ours[0].Bytes }

// zstd runs the row's command. Its output goes to a file, as ours does.
func (r *LimitRow) zstd(ctx context.Context, merged string) error {
	out := merged + ".zst"
	defer os.Remove(out)
	u, err := measure.Run(ctx, measure.Command{Argv: []string{"sh", "-c", r.Name + ` -q -f -o "$2" "$1"`, "sh", merged, out}})
	if err != nil {
		return err
	}
	info, err := os.Stat(out)
	if err != nil {
		return err
	}
	r.Bytes, r.Runs = info.Size(), append(r.Runs, u)
	return nil
}

// equal returns the fastest row of zstd's that is as small as ours, if any is.
func (l *Limit) equal() (best LimitRow, ok bool) {
	for _, r := range l.Zstd {
		if l.reaches(r) && (!ok || measure.Typical(r.Runs).Wall < measure.Typical(best.Runs).Wall) {
			best, ok = r, true
		}
	}
	return best, ok
}

func (l *Limit) markdown() string {
	var rows [][]string
	best, found := l.equal()
	against := measure.Typical(best.Runs).Wall
	for _, r := range append(append([]LimitRow{}, l.Ours...), l.Zstd...) {
		u := measure.Typical(r.Runs)
		speed := ""
		if found {
			speed = markdown.Ratio(against, u.Wall)
		}
		rows = append(rows, []string{r.Name, markdown.Seconds(u.Wall), markdown.Seconds(u.CPU), markdown.MB(r.Bytes), markdown.Ratio(l.Tar, r.Bytes), speed})
	}
	text := markdown.Table([]string{l.Image, "wall s", "CPU s", "MB", "ratio", "speed"}, rows)
	if found {
		return text + "\nSpeed is that of the fastest zstd of equal or smaller size, " + best.Name + ", being 1.\n"
	}
	return text + "\nNo level of zstd that was tried made the tar as small.\n"
}
