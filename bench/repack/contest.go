package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
)

// A Contest is one image and what each contestant made of it.
type Contest struct {
	Image   string       `json:"image"`
	Source  bed.Shape    `json:"source"`
	Pull    Duration     `json:"pull,omitempty"` // of the source
	Entries []ContestRow `json:"entries"`
}

// A ContestRow is one contestant's result.
type ContestRow struct {
	Contestant string          `json:"contestant"`
	Runs       []measure.Usage `json:"runs"`
	Shape      bed.Shape       `json:"shape"`
	Tree       string          `json:"tree"`              // "equal", or how many entries differ
	Outside    string          `json:"outside,omitempty"` // the same by the outside judge
	Pull       Duration        `json:"pull,omitempty"`
}

// Duration is a time.Duration, in nanoseconds in JSON.
type Duration = time.Duration

// contest has the contestants work on one image in turns: every round runs each
// of them once, until it has run o.repeat times or for o.enough in all. In the first
// round what they made is compared with the source, pulled, and judged.
func contest(ctx context.Context, b *bed.Bed, o options, image string) (*Contest, error) {
	source, err := b.Source(ctx, image)
	if err != nil {
		return nil, err
	}
	c := &Contest{Image: image}
	if c.Source, err = bed.ShapeOf(source); err != nil {
		return nil, err
	}
	layout, err := layoutOf(ctx, b, source)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(layout)
	for _, k := range o.contestants() {
		c.Entries = append(c.Entries, ContestRow{Contestant: k.name})
	}
	for round := range o.repeat {
		for i, k := range o.contestants() {
			row := &c.Entries[i]
			if enough(row.Runs, o.repeat, o.enough) {
				continue
			}
			if err := runOnce(ctx, b, k, source, layout, row); err != nil {
				return nil, fmt.Errorf("%s on %s: %w", k.name, image, err)
			}
			if round == 0 {
				if err := look(ctx, b, o, k, c, row, source); err != nil {
					return nil, fmt.Errorf("looking at what %s made of %s: %w", k.name, image, err)
				}
			}
			b.Log("  %-34s %s", k.name, row.Runs[len(row.Runs)-1].Wall.Round(10*time.Millisecond))
		}
	}
	if o.pull {
		if c.Pull, err = b.Pull(ctx, source); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func runOnce(ctx context.Context, b *bed.Bed, k contestant, source, layout string, row *ContestRow) error {
	if err := b.Results.Empty(); err != nil {
		return err
	}
	work, err := b.Work("work")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	u, err := k.run(ctx, b, job{source, layout, resultRef(b), work})
	row.Runs = append(row.Runs, u)
	return err
}

func resultRef(b *bed.Bed) string { return b.Results.Addr + "/result:latest" }

// look says what a contestant's first run left in the registry of the results.
func look(ctx context.Context, b *bed.Bed, o options, k contestant, c *Contest, row *ContestRow, source string) error {
	var err error
	if row.Shape, err = bed.ShapeOf(resultRef(b)); err != nil {
		return err
	}
	if row.Tree, err = equalTrees(ctx, b, source, resultRef(b)); err != nil {
		return err
	}
	if k.pulls && o.pull {
		if row.Pull, err = b.Pull(ctx, resultRef(b)); err != nil {
			return err
		}
	}
	if k.judged && c.Image == o.judged {
		row.Outside, err = outsideJudge(ctx, b, source, resultRef(b))
	}
	return err
}

// enough reports whether no further run is needed.
func enough(runs []measure.Usage, times int, limit time.Duration) bool {
	var total time.Duration
	for _, u := range runs {
		total += u.Wall
	}
	return len(runs) >= times || len(runs) > 0 && total >= limit
}

// layoutOf copies an image into an OCI image layout.
func layoutOf(ctx context.Context, b *bed.Bed, source string) (string, error) {
	dir, err := b.Work("layout")
	if err != nil {
		return "", err
	}
	_, err = measure.Run(ctx, measure.Command{
		Argv: []string{"skopeo", "copy", "--quiet", "--src-tls-verify=false", "docker://" + source, "oci:" + dir + ":latest"},
		Env:  b.Env(filepath.Dir(dir)),
	})
	if err != nil {
		return "", fmt.Errorf("copying a source to a layout: %w", err)
	}
	return dir, nil
}

func (c *Contest) markdown() string {
	base := c.row(ours)
	header := []string{c.Image, "wall s", "", "CPU s", "", "RSS MB", "temp MB", "MB", "", "layers", "largest MB", "pull s", "tree"}
	rows := [][]string{{
		"(source)", "", "", "", "", "", "", markdown.MB(c.Source.Bytes), markdown.Ratio(c.Source.Bytes, base.Shape.Bytes),
		fmt.Sprint(c.Source.Layers), markdown.MB(c.Source.Largest), markdown.Seconds(c.Pull), "",
	}}
	baseUsage := measure.Typical(base.Runs)
	for _, e := range c.Entries {
		u := measure.Typical(e.Runs)
		rows = append(rows, []string{
			e.Contestant, markdown.Seconds(u.Wall), markdown.Ratio(u.Wall, baseUsage.Wall), markdown.Seconds(u.CPU), markdown.Ratio(u.CPU, baseUsage.CPU),
			markdown.MB(u.RSS), markdown.MB(u.Disk), markdown.MB(e.Shape.Bytes), markdown.Ratio(e.Shape.Bytes, base.Shape.Bytes),
			fmt.Sprint(e.Shape.Layers), markdown.MB(e.Shape.Largest), markdown.Seconds(e.Pull), e.Tree,
		})
	}
	text := markdown.Table(header, rows)
	var judged []string
	for _, e := range c.Entries {
		if e.Outside != "" {
			judged = append(judged, e.Contestant+": "+e.Outside)
		}
	}
	if len(judged) > 0 {
		text += "\nUnpacked by umoci, compared with the source by rsync (contents, modes, owners, times, links, attributes): " + strings.Join(judged, "; ") + ".\n"
	}
	return text
}

func (c *Contest) row(name string) ContestRow {
	for _, e := range c.Entries {
		if e.Contestant == name {
			return e
		}
	}
	return ContestRow{}
}
