package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/machine"
	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/internal/results"
)

// Results are all figures, raw.
type Results struct {
	Date        string          `json:"date,omitempty"`
	Note        string          `json:"note,omitempty"`
	Facts       machine.Facts   `json:"facts"`
	Fixtures    []*Fixture      `json:"fixtures,omitempty"`
	Scaling     []ScalingRow    `json:"scaling,omitempty"`
	Registry    *Registry       `json:"registry,omitempty"`
	Checkpoints []CheckpointRow `json:"checkpoints,omitempty"`
}

// replace puts what was made of a fixture in the place of an earlier one.
func (r *Results) replace(f *Fixture) {
	r.Fixtures = results.Replace(r.Fixtures, f, func(old *Fixture) bool { return old.Name == f.Name })
}

// write writes the raw figures and the report.
func (r *Results) write(jsonPath, markdownPath string) error {
	return results.Write(r, jsonPath, r.markdown(), markdownPath)
}

func (r *Results) markdown() string {
	var s strings.Builder
	s.WriteString("# docker stickybuilder and its peers\n\nWritten by `make bench-stickybuilder`; see [bench](../README.md) for what is measured and how.\n\n")
	s.WriteString(r.Facts.Markdown(r.Date))
	if r.Note != "" {
		s.WriteString("\n" + r.Note + "\n")
	}
	if len(r.Fixtures) > 0 {
		s.WriteString("\n## The second job\n\n" + jobsNote + "\n\n" + summary(r.Fixtures))
		for _, f := range r.Fixtures {
			s.WriteString("\n### " + f.Name + "\n\n" + f.What + "\n\n" + f.markdown())
		}
	}
	if len(r.Scaling) > 0 {
		s.WriteString("\n## Disks of growing size\n\n" + scalingNote + "\n\n" + scalingMarkdown(r.Scaling))
	}
	if r.Registry != nil {
		s.WriteString("\n## A disk in a registry\n\n" + registryNote + "\n\n" + r.Registry.markdown())
	}
	if len(r.Checkpoints) > 0 {
		s.WriteString("\n## Checkpoints\n\n" + checkpointsNote + "\n\n" + checkpointsMarkdown(r.Checkpoints))
	}
	return s.String()
}

const (
	jobsNote = `A job brings a builder up, builds and pushes, and takes it down so that the next machine has what the contestant keeps. Medians
over the runs. "×" is a multiple of the whole second job of ` + "`docker stickybuilder`" + ` on a pool of this machine.`
	scalingNote     = "`up` to the first usable builder, and `down` with a commit, in seconds; \"beyond\" is what `up` takes besides buildkitd's own start, \"clone\" a part of that. Medians; all disks and buildx take turns. The disks are synthetic: the size is allocated in extents that are not written; each of the files has 1 MB with four written blocks of 4 kB, and holes between them."
	checkpointsNote = "`docker stickybuilder commit` while a build marks the time every 10 ms: the largest gap between two marks in the seconds that a checkpoint touches, and in all others. With `--max-pause 1m`: by default one that would take longer than a second is given up."
	registryNote    = "\"×\" is a multiple of the bytes that the job has written. A restore is the clone in `up` on a machine that has nothing; \"of raw\" is its speed, as a part of that of fetching the same blobs and nothing else."
)

// typical is the job of median wall clock. Of an even number it is the quicker one of
// the two in the middle.
func typical(jobs []Job) Job {
	if len(jobs) == 0 {
		return Job{}
	}
	sorted := slices.SortedFunc(slices.Values(jobs), func(a, b Job) int { return int(a.Wall() - b.Wall()) })
	return sorted[(len(sorted)-1)/2]
}

// base is the second job that others are compared with.
func (f *Fixture) base() time.Duration {
	for _, r := range f.Rows {
		if r.Contestant == ours {
			return typical(r.Second).Wall()
		}
	}
	return 0
}

// summary has one row for each contestant: its second jobs as multiples of ours.
func summary(all []*Fixture) string {
	header := []string{"second job, × docker stickybuilder"}
	var names []string
	for _, f := range all {
		header = append(header, f.Name)
		for _, r := range f.Rows {
			if !slices.Contains(names, r.Contestant) {
				names = append(names, r.Contestant)
			}
		}
	}
	var rows [][]string
	for _, name := range names {
		row := []string{name}
		for _, f := range all {
			cell := ""
			for _, r := range f.Rows {
				if r.Contestant == name {
					cell = markdown.Ratio(typical(r.Second).Wall(), f.base())
				}
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return markdown.Table(header, rows)
}

func (f *Fixture) markdown() string {
	var rows [][]string
	for _, r := range f.Rows {
		one, two := typical(r.First), typical(r.Second)
		mount := ""
		if two.Mount >= 0 {
			mount = map[bool]string{true: "kept", false: "lost"}[two.Mount > 0]
		}
		moved := markdown.MB(two.Moved)
		if two.Moved < 0 {
			moved = "?"
		}
		rows = append(rows, []string{
			r.Contestant, markdown.Seconds(one.Wall()), markdown.Seconds(two.Wall()), markdown.Ratio(two.Wall(), f.base()),
			markdown.Seconds(two.Up), markdown.Seconds(two.Build), markdown.Seconds(two.Down),
			fmt.Sprintf("%d/%d", two.Steps.Cached, two.Steps.Total), mount, moved, markdown.MB(two.Kept),
		})
	}
	return markdown.Table([]string{"", "first job s", "second job s", "×", "up s", "build s", "down s", "cached", "cache mount", "MB moved", "MB kept"}, rows)
}

func (r *Registry) markdown() string {
	commit := func(title string, c Commit, changed int64) []string {
		rate := ""
		if changed > 0 {
			rate = fmt.Sprintf("%.0f", float64(changed)/1e6/c.Wall.Seconds())
		}
		return []string{title, markdown.Seconds(c.Wall), markdown.MB(changed), rate, fmt.Sprintf("%.2f", float64(c.Sent)/1e6), markdown.Ratio(c.Sent, changed), fmt.Sprint(c.Requests)}
	}
	text := markdown.Table([]string{"commit", "down s", "MB written", "MB/s", "MB sent", "×", "requests"}, [][]string{
		commit("first", r.First, r.First.Bytes), commit("after a small rebuild", r.Rebuild, r.Changed), commit("of nothing new", r.Nothing, 0),
	})
	var links []int64
	byLink := map[int64][]Restore{}
	for _, one := range r.Restores {
		if !slices.Contains(links, one.Mbps) {
			links = append(links, one.Mbps)
		}
		byLink[one.Mbps] = append(byLink[one.Mbps], one)
	}
	var rows [][]string
	for _, mbps := range links {
		var up, clone, raw []time.Duration
		for _, one := range byLink[mbps] {
			up, clone, raw = append(up, one.Up), append(clone, one.Clone), append(raw, one.Raw)
		}
		title := "no limit"
		if mbps > 0 {
			title = fmt.Sprintf("%d Mb/s", mbps)
		}
		one := byLink[mbps][0]
		rows = append(rows, []string{
			title, markdown.Seconds(median(up)), markdown.Seconds(median(clone)), markdown.Seconds(median(raw)), fmt.Sprintf("%.2f", median(raw).Seconds()/median(clone).Seconds()),
			markdown.MB(one.Stored), fmt.Sprintf("%.0f", float64(r.Nothing.Bytes)/1e6/median(clone).Seconds()), fmt.Sprint(one.Requests),
		})
	}
	return text + "\n" + markdown.Table([]string{"restore over", "up s", "clone s", "raw s", "of raw", "MB stored", "MB/s of files", "requests"}, rows)
}
