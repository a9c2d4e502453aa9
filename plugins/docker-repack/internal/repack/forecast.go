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
	KeptBytes      int64          `json:"keptBytes"` // of layers that stay as they are, part of the others
	// Ratio is the compressed size after to that before: the actual one if it is
	// known, else the predicted one.
	Ratio     float64 `json:"ratio"`
	FileBytes int64   `json:"fileBytes"` // contents of all files
	Entries   int     `json:"entries"`   // of the root filesystem
	// PullTimes are predictions for the links of the options.
	PullTimes []PullTime `json:"pullTimes,omitempty"`
}

// A PlannedLayer is one layer of the result, bottom first.
type PlannedLayer struct {
	Digest string `json:"digest,omitempty"` // "" before it is made
	// Kept says where a layer comes from that stays as it is: "base" or "previous";
	// "" for a new one. Of a kept layer, Live is the part, 0 to 1, that is still in
	// the root filesystem, and its contents are not listed.
	Kept string  `json:"kept,omitempty"`
	Live float64 `json:"live,omitempty"`

	PredictedBytes int64  `json:"predictedBytes"` // compressed
	Bytes          int64  `json:"bytes,omitempty"`
	Entries        int    `json:"entries"` // with the parents that the layer repeats
	FileBytes      int64  `json:"fileBytes"`
	DuplicateBytes int64  `json:"duplicateBytes"` // which the compressor's window removes
	First          string `json:"first"`          // paths
	Last           string `json:"last"`
	// Directories are the three that take the most of the layer.
	Directories []Directory `json:"directories"`
	// Groups are the three packages, or the like, that take the most of the layer;
	// Packages is how many packages it has something of.
	Groups   []LayerGroup `json:"groups"`
	Packages int          `json:"packages"`
	// Indivisible says that the layer is one file, with its copies, that is larger
	// than the target size.
	Indivisible bool `json:"indivisible,omitempty"`
}

// A LayerGroup is files of a layer that change together.
type LayerGroup struct {
	Tier           string `json:"tier"` // "system packages", "language packages" or "own files"
	Name           string `json:"name"` // of the package, such as "deb/libc6"; "" for files of no package
	PredictedBytes int64  `json:"predictedBytes"`
}

func (a *ImageAnalysis) forecast(s *scanned, p *plan.Plan) {
	for _, k := range s.kept {
		l := PlannedLayer{
			Kept: k.from, Live: k.live, Digest: k.descriptor.Digest.String(), PredictedBytes: k.descriptor.Size, Bytes: k.descriptor.Size, Entries: k.entries,
			Directories: []Directory{}, Groups: []LayerGroup{},
		}
		a.After.Layers = append(a.After.Layers, l)
		a.After.PredictedBytes += l.PredictedBytes
		a.After.KeptBytes += l.PredictedBytes
	}
	for i := range p.Layers {
		l := planned(p, i)
		a.After.Layers = append(a.After.Layers, l)
		a.After.PredictedBytes += l.PredictedBytes
	}
	a.After.FileBytes = p.Stats().Live
	a.After.Entries = s.tree.Len()
	a.After.Ratio = ratio(a.After.PredictedBytes, a.Before.Bytes)
}

func ratio(after, before int64) float64 {
	if before == 0 {
		return 1
	}
	return float64(after) / float64(before)
}

func planned(p *plan.Plan, index int) PlannedLayer {
	l := PlannedLayer{Indivisible: p.Layers[index].Indivisible}
	var cost float64
	dirs := map[string]*Directory{}
	groups := map[plan.Group]float64{}
	contents := p.Layers[index].Units
	for _, u := range contents {
		cost += u.Cost
		groups[u.Group] += u.Cost
		n := int64(len(u.Files()))
		l.FileBytes += n * u.Raw
		l.DuplicateBytes += max(n-1, 0) * u.Raw
		for name := range u.LeadNames {
			directory(dirs, name).FileBytes += u.Raw
		}
	}
	for range p.Items(index, nil) {
		l.Entries++
	}
	l.PredictedBytes = int64(cost)
	if n := len(contents); n > 0 {
		last := contents[n-1].Entries
		l.First, l.Last = contents[0].Entries[0].Path, last[len(last)-1].Path
	}
	l.Directories = largest(dirs, 3)
	l.Groups = largestGroups(groups, 3)
	for g := range groups {
		if g.Key != "" {
			l.Packages++
		}
	}
	return l
}

// largestGroups names the groups that take the most of a layer.
func largestGroups(groups map[plan.Group]float64, top int) []LayerGroup {
	out := make([]LayerGroup, 0, len(groups))
	for g, cost := range groups {
		out = append(out, LayerGroup{Tier: g.Tier.String(), Name: g.Key, PredictedBytes: int64(cost)})
	}
	slices.SortFunc(out, func(a, b LayerGroup) int {
		return cmp.Or(cmp.Compare(b.PredictedBytes, a.PredictedBytes), cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Name, b.Name))
	})
	return slices.Clone(out[:min(len(out), top)])
}

// realize enters what the layers have become.
func (a *ImageAnalysis) realize(layers []*stored) {
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
