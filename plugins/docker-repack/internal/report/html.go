package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/docker/go-units"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
)

//go:embed report.html.tmpl
var page string

var parsed = template.Must(template.New("report").Funcs(template.FuncMap{
	"size":    func(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) },
	"percent": func(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) },
	"name":    Printable,
	"clip":    Clip,
	"bars":    bars,
	"folders": folders,
	"more":    func(copies int, paths []string) int { return copies - len(paths) },
}).Parse(page))

// HTML writes the analysis as one HTML page without scripts or external resources.
// It shows what an image says as text and never as markup.
func HTML(w io.Writer, a *repack.Analysis) error { return parsed.Execute(w, a) }

// A bar is one row of a chart: parts of a whole, as per cent of the longest row.
type bar struct {
	Label, Title           string
	Live, Duplicate, Dead  float64
	Compressed, Contents   int64
	DeadBytes, CopiedBytes int64
}

type chart struct{ Before, After []bar }

// bars are the contents of all layers on one scale.
func bars(i *repack.ImageAnalysis) chart {
	var longest int64
	for _, l := range i.Before.Layers {
		longest = max(longest, l.FileBytes)
	}
	for _, l := range i.After.Layers {
		longest = max(longest, l.FileBytes)
	}
	row := func(n int, title string, compressed, contents, dead, copied int64) bar {
		b := bar{
			Label: fmt.Sprint(n), Title: title,
			Compressed: compressed, Contents: contents, DeadBytes: dead, CopiedBytes: copied,
		}
		b.Dead, b.Duplicate, b.Live = share(dead, longest), share(copied, longest), share(contents-dead-copied, longest)
		return b
	}
	var c chart
	for n, l := range i.Before.Layers {
		title := l.CreatedBy
		if title == "" {
			title = l.Digest
		}
		c.Before = append(c.Before, row(n, Clip(title, 400), l.Bytes, l.FileBytes, l.DeadBytes, l.DuplicateBytes))
	}
	for n, l := range i.After.Layers {
		compressed := l.PredictedBytes
		if l.Digest != "" {
			compressed = l.Bytes
		}
		title := Printable(l.First) + " … " + Printable(l.Last)
		for _, g := range l.Groups {
			if g.Name != "" {
				title += ", " + Printable(g.Name)
			}
		}
		if l.Kept != "" {
			title = fmt.Sprintf("kept, %s, %.0f %% live: %s", l.Kept, 100*l.Live, l.Digest)
		}
		c.After = append(c.After, row(n, title, compressed, l.FileBytes, 0, l.DuplicateBytes))
	}
	return c
}

// A folder is a row of the directories' chart.
type folder struct {
	repack.Directory
	Live, Dead float64
}

func folders(dirs []repack.Directory) []folder {
	var longest int64
	for _, d := range dirs {
		longest = max(longest, d.FileBytes+d.DeadBytes)
	}
	out := make([]folder, len(dirs))
	for i, d := range dirs {
		out[i] = folder{d, share(d.FileBytes, longest), share(d.DeadBytes, longest)}
	}
	return out
}

func share(n, of int64) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(n) / float64(of)
}
