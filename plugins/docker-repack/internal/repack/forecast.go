package repack

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
)

// After is the image as it is planned, or, with actual sizes, as it was made.
type After struct {
	Layers         []PlannedLayer `json:"layers"`
	PredictedBytes int64          `json:"predictedBytes"` // compressed layers
	Bytes          int64          `json:"bytes,omitempty"`
	// Ratio is the compressed size after to that before: the actual one if it is
	// known, else the predicted one.
	Ratio     float64 `json:"ratio"`
	FileBytes int64   `json:"fileBytes"` // contents of all files
	Entries   int     `json:"entries"`   // of the root filesystem
}

// A PlannedLayer is one layer of the result, bottom first.
type PlannedLayer struct {
	Digest         string `json:"digest,omitempty"` // "" before it is made
	PredictedBytes int64  `json:"predictedBytes"`   // compressed
	Bytes          int64  `json:"bytes,omitempty"`
	Entries        int    `json:"entries"` // with the parents that the layer repeats
	FileBytes      int64  `json:"fileBytes"`
	DuplicateBytes int64  `json:"duplicateBytes"` // which the compressor's window removes
	First          string `json:"first"`          // paths
	Last           string `json:"last"`
	// Directories are the three that take the most of the layer.
	Directories []Directory `json:"directories"`
}

func (a *ImageAnalysis) forecast(s *scanned, p *plan.Plan) {
	for i := range p.Layers {
		l := planned(s, p.Layers[i].Units)
		a.After.Layers = append(a.After.Layers, l)
		a.After.PredictedBytes += l.PredictedBytes
		a.After.FileBytes += l.FileBytes
	}
	a.After.Entries = s.tree.Len()
	a.After.Ratio = ratio(a.After.PredictedBytes, a.Before.Bytes)
}

func ratio(after, before int64) float64 {
	if before == 0 {
		return 1
	}
	return float64(after) / float64(before)
}

func planned(s *scanned, contents []*plan.Unit) PlannedLayer {
	var l PlannedLayer
	var cost float64
	parents := map[string]bool{".": true}
	dirs := map[string]*Directory{}
	for _, u := range contents {
		cost += u.Cost
		n := int64(len(u.Files()))
		l.FileBytes += n * u.Raw
		l.DuplicateBytes += max(n-1, 0) * u.Raw
		for name := range u.LeadNames {
			directory(dirs, name).FileBytes += u.Raw
		}
		for _, e := range u.Entries {
			for dir := path.Dir(e.Path); !parents[dir]; dir = path.Dir(dir) {
				parents[dir] = true
			}
		}
		l.Entries += len(u.Entries)
	}
	l.Entries += len(parents)
	if root, _ := s.tree.Lookup("."); root.Implied {
		l.Entries--
	}
	l.PredictedBytes = int64(cost)
	if n := len(contents); n > 0 {
		last := contents[n-1].Entries
		l.First, l.Last = contents[0].Entries[0].Path, last[len(last)-1].Path
	}
	l.Directories = largest(dirs, 3)
	return l
}

// realize enters what the layers have become.
func (a *ImageAnalysis) realize(layers []*written) {
	for i, w := range layers {
		l := &a.After.Layers[i]
		l.Digest, l.Bytes, l.Entries = w.descriptor.Digest.String(), w.descriptor.Size, w.entries
		a.After.Bytes += l.Bytes
	}
	a.After.Ratio = ratio(a.After.Bytes, a.Before.Bytes)
}

// directory returns the entry that a file's bytes are counted in.
func directory(dirs map[string]*Directory, file string) *Directory {
	name := path.Dir(file)
	if parts := strings.SplitN(name, "/", 4); len(parts) > 3 {
		name = strings.Join(parts[:3], "/")
	}
	d := dirs[name]
	if d == nil {
		d = &Directory{Path: name}
		dirs[name] = d
	}
	return d
}

func largest(dirs map[string]*Directory, top int) []Directory {
	out := make([]Directory, 0, len(dirs))
	for _, d := range dirs {
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b Directory) int {
		return cmp.Or(cmp.Compare(b.FileBytes+b.DeadBytes, a.FileBytes+a.DeadBytes), cmp.Compare(a.Path, b.Path))
	})
	return slices.Clone(out[:min(len(out), top)])
}

// directories are where the bytes of all layers lie.
func directories(s *scanned, dead []DeadFile, top int) []Directory {
	dirs := map[string]*Directory{}
	for in, name := range files(s.tree) {
		directory(dirs, name).FileBytes += in.Size
	}
	for _, f := range dead {
		directory(dirs, f.Path).DeadBytes += f.Bytes
	}
	return largest(dirs, top)
}
