package main

import (
	"strings"

	"github.com/dockerfactory/dockerfactory/bench/internal/machine"
	"github.com/dockerfactory/dockerfactory/bench/internal/results"
)

// Results are all figures, raw.
type Results struct {
	Date         string         `json:"date,omitempty"`
	Facts        machine.Facts  `json:"facts"`
	Contests     []*Contest     `json:"contests,omitempty"`
	Limit        *Limit         `json:"limit,omitempty"`
	Memory       []MemoryRow    `json:"memory,omitempty"`
	Links        []LinkRow      `json:"links,omitempty"`
	Updates      []Update       `json:"updates,omitempty"`
	Reproduction []Reproduction `json:"reproduction,omitempty"`
}

// replace puts a contest on an image in the place of an earlier one.
func (r *Results) replace(c *Contest) {
	r.Contests = results.Replace(r.Contests, c, func(old *Contest) bool { return old.Image == c.Image })
}

// write writes the raw figures and the report.
func (r *Results) write(jsonPath, markdownPath string) error {
	return results.Write(r, jsonPath, r.markdown(), markdownPath)
}

func (r *Results) markdown() string {
	var s strings.Builder
	s.WriteString("# docker repack and its peers\n\nWritten by `make bench`; see [bench](../README.md) for what is measured and how.\n\n")
	s.WriteString(r.Facts.Markdown(r.Date))
	if len(r.Contests) > 0 {
		s.WriteString("\n## Repacking, from registry to registry\n\n" + contestNote + "\n")
		for _, c := range r.Contests {
			s.WriteString("\n" + c.markdown())
		}
	}
	section := func(title, note, table string) { s.WriteString("\n## " + title + "\n\n" + note + "\n\n" + table) }
	if r.Limit != nil {
		section("Against the limit", limitNote, r.Limit.markdown())
	}
	if len(r.Memory) > 0 {
		section("Memory and disk", memoryNote, memoryMarkdown(r.Memory))
	}
	if len(r.Links) > 0 {
		section("Pull and unpack over a link", linksNote, linksMarkdown(r.Links))
	}
	if len(r.Updates) > 0 {
		section("Updates", updatesNote, updatesMarkdown(r.Updates))
	}
	if len(r.Reproduction) > 0 {
		section("Reproducibility", "Digest of the result at `balanced`, by number of workers; the last run repeats the one before.", reproducibleMarkdown(r.Reproduction))
	}
	return s.String()
}

const (
	contestNote = `Wall clock and CPU seconds (user and system, of all processes) are medians over the runs, memory (of the largest process) and temporary
disk are peaks. Every run starts with an empty destination. The unnamed columns are multiples of ` + "`docker repack`" + ` at ` + "`balanced`" + `, which includes
reading the result back and comparing it. docker-repack reads no plain HTTP registry: it is given the source as a layout, for nothing. "pull" is
an unshaped ` + "`docker pull`" + ` with unpacking. "tree" says whether the root filesystem and config are those of the source, by ` + "`docker repack verify`" + `.`
	limitNote  = "What an image's repacking takes, beside nothing but compressing its merged root filesystem with the zstd command line tool."
	memoryNote = "Synthetic images of growing size: weights that hardly compress, sources that do, small files, copies, removed directories."
	linksNote  = "`docker pull`, with unpacking, by an engine that has none of the layers, on a filesystem of its own (ext4), through a proxy that lets so many bits a second through.\n" +
		"The unnamed column is the multiple of ours; \"predicted\" is what `docker repack pull-time --deep` says, for containerd, a link without delay, and the rates below it.\n" +
		"Of pulls the mean counts, since the engine begins layers in no order (docs/design/007), and of rates the fastest. Rates are measured between the pulls, with images that have nothing to do with the pulled one: one layer, nine, 10 000 entries, and 67 MB of text. \"CPU of others\"\n" +
		"is the part of the processors that neither the engine had nor nobody: registry and proxy included."
	updatesNote = `Bytes that a host which has one release of an application pulls to get the next: the layers that it does not have. "changed contents" are
the files whose content is nowhere in the release before, "changed entries" those that are new or differ in content or metadata, each compressed
alone in one stream. The builds set all times to one epoch, so that a file that is installed again is the same file.`
)
