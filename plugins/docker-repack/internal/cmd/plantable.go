package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/report"
)

func planTable(w io.Writer, a *repack.Analysis) error {
	fmt.Fprintf(w, "source\t%s\t%s\n", a.Source, a.SourceDigest)
	for _, i := range a.Images {
		b := i.Before
		fmt.Fprintf(w, "\nplatform\t%s\n", i.Platform)
		fmt.Fprintf(w, "tree\t%s\n", i.Tree)
		fmt.Fprintf(w, "layers\t%d -> %d\n", len(b.Layers), len(i.After.Layers))
		fmt.Fprintf(w, "compressed\t%s -> about %s%s\n", size(b.Bytes), size(i.After.PredictedBytes), percent(b.Bytes, i.After.PredictedBytes))
		fmt.Fprintf(w, "contents\t%s -> %s\n", size(b.FileBytes), size(i.After.FileBytes))
		fmt.Fprintf(w, "dead\t%s\n", size(b.DeadBytes))
		fmt.Fprintf(w, "duplicate\t%s\n", size(b.DuplicateBytes))
		fmt.Fprintf(w, "efficiency\t%.1f%%\n", 100*b.Efficiency)
		sharingLine(w, i.Sharing)
		beforeTable(w, b)
		afterTable(w, i.After)
		pullTable(w, b.PullTimes, i.After.PullTimes)
		duplicateTable(w, i.Duplicates)
		deadTable(w, i.Dead)
	}
	return nil
}

// sharingLine tells what images on the same base gain or lose.
func sharingLine(w io.Writer, s *repack.Sharing) {
	switch {
	case s == nil:
	case s.Kept:
		fmt.Fprintf(w, "sharing\tgained: %s of the base's %d layers stay shared with other images on it; of them %s are dead\n", size(s.SharedBytes), s.Layers, size(s.DeadBytes))
	default:
		fmt.Fprintf(w, "sharing\tlost: %s of the base's %d layers are no longer shared with other images on it (--keep-base keeps them)\n", size(s.LostBytes), s.Layers)
	}
}

func beforeTable(w io.Writer, b repack.Before) {
	fmt.Fprintln(w, "\nBEFORE\tDIGEST\tCOMPRESSED\tUNPACKED\tENTRIES\tDEAD\tDUPLICATE\tCREATED BY")
	for n, l := range b.Layers {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", n, short(l.Digest), size(l.Bytes), size(l.UncompressedBytes), l.Entries,
			size(l.DeadBytes), size(l.DuplicateBytes), report.Clip(l.CreatedBy, 60))
	}
}

func afterTable(w io.Writer, a repack.After) {
	fmt.Fprintln(w, "\nAFTER\tCOMPRESSED\tCONTENTS\tENTRIES\tDUPLICATE\tPACKAGES\tMOSTLY")
	for n, l := range a.Layers {
		if l.Kept != "" {
			fmt.Fprintf(w, "%d\t%s\t\t%d\t\t\tkept of the %s: %s, %.0f%% live\n", n, size(l.PredictedBytes), l.Entries, keptOf[l.Kept], short(l.Digest), 100*l.Live)
			continue
		}
		var dirs []string
		for _, d := range l.Directories {
			dirs = append(dirs, fmt.Sprintf("%s (%s)", report.Printable(d.Path), size(d.FileBytes)))
		}
		what := strings.Join(dirs, ", ")
		if l.Indivisible {
			what += ", indivisible"
		}
		fmt.Fprintf(w, "%d\t~%s\t%s\t%d\t%s\t%d\t%s\n", n, size(l.PredictedBytes), size(l.FileBytes), l.Entries, size(l.DuplicateBytes), l.Packages, what)
	}
}

var keptOf = map[string]string{repack.KeptBase: "base", repack.KeptPrevious: "previous result"}

func duplicateTable(w io.Writer, d repack.Duplicates) {
	if len(d.Groups) == 0 {
		return
	}
	fmt.Fprintln(w, "\nDUPLICATES\tCOPIES\tEACH\tPATHS")
	for _, g := range d.Groups {
		names := make([]string, 0, len(g.Paths)+1)
		for _, p := range g.Paths {
			names = append(names, report.Printable(p))
		}
		if g.Copies > len(names) {
			names = append(names, "…")
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", size(g.Wasted), g.Copies, size(g.Bytes), strings.Join(names, ", "))
	}
	more(w, d.More, "groups")
}

func deadTable(w io.Writer, d repack.DeadFiles) {
	if len(d.Files) > 0 {
		fmt.Fprintln(w, "\nDEAD\tLAYER\tBY\tHOW\tPATH")
		for _, f := range d.Files {
			how := f.How
			if f.Kept {
				how += ", kept"
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", size(f.Bytes), f.Layer, f.By, how, report.Printable(f.Path))
		}
		more(w, d.More, "files")
	}
	if len(d.Secrets) > 0 {
		fmt.Fprintln(w, "\nSECRET?\tLAYER\tBY\tKIND\tPATH")
		for _, f := range d.Secrets {
			kind := f.Secret
			if f.Kept {
				kind += ", kept"
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", size(f.Bytes), f.Layer, f.By, kind, report.Printable(f.Path))
		}
		more(w, d.MoreSecrets, "files")
	}
}

func more(w io.Writer, n int, what string) {
	if n > 0 {
		fmt.Fprintf(w, "… and %d more %s\n", n, what)
	}
}

// short shortens a digest to what tells layers apart.
func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(len(hex), 12)]
}
