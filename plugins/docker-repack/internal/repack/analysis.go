package repack

import (
	"context"
	"encoding/json"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// DefaultTop is the length of lists that [Options] mean by 0.
const DefaultTop = 20

// An Analysis tells what an image's layers hold and what repacking makes of them.
// All sizes are in bytes. Paths are as the image has them: any bytes.
type Analysis struct {
	Source       string           `json:"source"`
	SourceDigest string           `json:"sourceDigest"`
	Images       []*ImageAnalysis `json:"images"`
	Warnings     []string         `json:"warnings,omitempty"`
}

// An ImageAnalysis is one platform of an [Analysis].
type ImageAnalysis struct {
	Platform     string `json:"platform"`
	SourceDigest string `json:"sourceDigest"`
	Tree         string `json:"tree"` // canonical tree digest
	Before       Before `json:"before"`
	After        After  `json:"after"`
	// Sharing is nil if no base image is known.
	Sharing *Sharing `json:"sharing,omitempty"`
	// Dead are files whose content no name of the root filesystem leads to.
	Dead       DeadFiles  `json:"dead"`
	Duplicates Duplicates `json:"duplicates"`
	// Directories are those that take the most, live and dead.
	Directories []Directory `json:"directories"`
}

// Before is the image as it is.
type Before struct {
	Layers            []SourceLayer `json:"layers"`
	Bytes             int64         `json:"bytes"` // compressed layers
	UncompressedBytes int64         `json:"uncompressedBytes"`
	FileBytes         int64         `json:"fileBytes"` // contents of all files of all layers
	DeadBytes         int64         `json:"deadBytes"` // of them, those that upper layers hide
	DuplicateBytes    int64         `json:"duplicateBytes"`
	// Efficiency is the part of FileBytes that is not dead, 0 to 1.
	Efficiency float64 `json:"efficiency"`
	// PullTimes are predictions for the links of the options.
	PullTimes []PullTime `json:"pullTimes,omitempty"`
}

// A SourceLayer is one layer of the image as it is, bottom first.
type SourceLayer struct {
	Digest            string `json:"digest"`
	Bytes             int64  `json:"bytes"` // compressed
	UncompressedBytes int64  `json:"uncompressedBytes"`
	Entries           int    `json:"entries"` // whiteouts included
	FileBytes         int64  `json:"fileBytes"`
	DeadBytes         int64  `json:"deadBytes"`
	DuplicateBytes    int64  `json:"duplicateBytes"` // live, and in this layer or below once already
	CreatedBy         string `json:"createdBy,omitempty"`
}

// A Directory is a directory of at most three components, with all below it.
type Directory struct {
	Path      string `json:"path"`
	FileBytes int64  `json:"fileBytes"`
	DeadBytes int64  `json:"deadBytes,omitempty"`
}

// analyze accounts for what a scan and a plan have found.
func analyze(ctx context.Context, o *original, s *scanned, p *plan.Plan, top int) (*ImageAnalysis, error) {
	a := &ImageAnalysis{SourceDigest: o.descriptor.Digest.String(), Tree: s.digest}
	a.before(o, s, p)
	a.forecast(s, p)
	a.Sharing = s.sharing(o)
	dead, err := exhume(ctx, s)
	if err != nil {
		return nil, err
	}
	a.Dead = listDead(dead, s.hidden.more, top)
	a.Duplicates = listDuplicates(p, top)
	a.Directories = directories(s, dead, top)
	return a, nil
}

func (a *ImageAnalysis) before(o *original, s *scanned, p *plan.Plan) {
	live := make([]int64, len(s.layers))
	for in := range files(s.tree) {
		live[in.Source.Layer] += in.Size
	}
	copies := make([]int64, len(s.layers))
	for _, u := range p.Units {
		for i, in := range u.Files() {
			if i > 0 {
				copies[in.Source.Layer] += u.Raw
			}
		}
	}
	by := createdBy(o)
	b := &a.Before
	for i, l := range s.layers {
		d := o.manifest.Layers[i]
		src := SourceLayer{
			Digest: d.Digest.String(), Bytes: d.Size, UncompressedBytes: l.tar, Entries: l.entries,
			FileBytes: l.bytes, DeadBytes: l.bytes - live[i], DuplicateBytes: copies[i],
		}
		if by != nil {
			src.CreatedBy = by[i]
		}
		b.Layers = append(b.Layers, src)
		b.Bytes += src.Bytes
		b.UncompressedBytes += src.UncompressedBytes
		b.FileBytes += src.FileBytes
		b.DeadBytes += src.DeadBytes
		b.DuplicateBytes += src.DuplicateBytes
	}
	b.Efficiency = 1
	if b.FileBytes > 0 {
		b.Efficiency = 1 - float64(b.DeadBytes)/float64(b.FileBytes)
	}
}

// files yields each file of a tree that has content once, with its first name.
func files(tree *layer.Tree) func(yield func(*layer.Inode, string) bool) {
	return func(yield func(*layer.Inode, string) bool) {
		for e := range tree.All() {
			if e.Type == layer.Regular && e.Size > 0 && (e.Link == "" || e.Link == e.Path) && !yield(e.Inode, e.Path) {
				return
			}
		}
	}
}

// createdBy returns the build step of each layer, or nil if the history does not
// tell.
func createdBy(o *original) []string {
	var config struct {
		History []struct {
			CreatedBy  string `json:"created_by"`
			EmptyLayer bool   `json:"empty_layer"`
		} `json:"history"`
	}
	if json.Unmarshal(o.rawConfig, &config) != nil {
		return nil
	}
	var out []string
	for _, h := range config.History {
		if !h.EmptyLayer {
			out = append(out, h.CreatedBy)
		}
	}
	if len(out) != len(o.manifest.Layers) {
		return nil
	}
	return out
}
