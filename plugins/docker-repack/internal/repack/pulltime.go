package repack

import (
	"context"
	"fmt"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/plan"
	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/pulltime"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// What a manifest does not tell is assumed to be as in common images.
const (
	assumedGzip  = 2.8    // tar bytes for each compressed one
	assumedZstd  = 3.3    // likewise
	assumedEntry = 20_000 // tar bytes for each entry
)

// PullOptions of [PullTimes].
type PullOptions struct {
	Links []pulltime.Link
	Rates pulltime.Rates // zero means the defaults
	// Deep reads the layers, for the number of their entries and their sizes when
	// unpacked; else what the manifest does not tell is assumed.
	Deep bool
}

// PullTimes are predictions for an image or index.
type PullTimes struct {
	Source       string           `json:"source"`
	SourceDigest string           `json:"sourceDigest"`
	Images       []ImagePullTimes `json:"images"`
}

// ImagePullTimes are predictions for one platform.
type ImagePullTimes struct {
	Platform     string     `json:"platform"`
	SourceDigest string     `json:"sourceDigest"`
	Layers       int        `json:"layers"`
	Bytes        int64      `json:"bytes"` // compressed layers
	LargestLayer int64      `json:"largestLayer"`
	Entries      int        `json:"entries"`
	Assumed      bool       `json:"assumed"` // entries and unpacked sizes were not read
	Times        []PullTime `json:"times"`
}

// A PullTime is the prediction for one engine at the end of one link.
type PullTime struct {
	Profile   string  `json:"profile"`
	Bandwidth float64 `json:"bandwidth"` // bit/s
	pulltime.Prediction
}

// PullTimesOf predicts how long engines take to pull and unpack an image. Of opts it
// heeds Platforms, Jobs, Memory and Progress.
func PullTimesOf(ctx context.Context, source image.Subject, opts Options, pull PullOptions) (*PullTimes, error) {
	opts = opts.withDefaults()
	r := &run{opts: opts, source: source.Store(), result: &Result{}}
	chosen, err := r.originals(ctx, source)
	if err != nil {
		return nil, err
	}
	out := &PullTimes{Source: source.Reference.String(), SourceDigest: source.Descriptor.Digest.String()}
	for _, c := range chosen {
		var layers []pulltime.Layer
		assumed := !pull.Deep
		if pull.Deep {
			if err := progress.Do(opts.Progress, "reading "+c.platform, func(step progress.Step) error {
				s, err := scan(ctx, c.original, nil, nil, opts, step)
				if err == nil {
					layers = pullLayers(c.original, s)
				}
				return err
			}); err != nil {
				return nil, err
			}
		} else {
			layers = assumedLayers(c.original)
		}
		i := ImagePullTimes{
			Platform: c.platform, SourceDigest: c.descriptor.Digest.String(), Layers: len(layers), Assumed: assumed,
			Times: pullTimes(layers, pull.Links, pull.Rates),
		}
		for _, l := range layers {
			i.Bytes += l.Size
			i.LargestLayer = max(i.LargestLayer, l.Size)
			i.Entries += l.Entries
		}
		out.Images = append(out.Images, i)
	}
	return out, nil
}

func pullTimes(layers []pulltime.Layer, links []pulltime.Link, rates pulltime.Rates) []PullTime {
	out := make([]PullTime, 0, len(links)*len(pulltime.Profiles))
	for _, link := range links {
		for _, p := range pulltime.Profiles {
			out = append(out, PullTime{p.Name, link.Bandwidth * 8, pulltime.Simulate(layers, p, link, rates)})
		}
	}
	return out
}

// predict enters the pull times before and after.
func (r *run) predict(a *ImageAnalysis, o *original, s *scanned, p *plan.Plan) {
	a.Before.PullTimes = pullTimes(pullLayers(o, s), r.opts.Links, pulltime.Rates{})
	a.After.PullTimes = pullTimes(plannedLayers(&a.After, p, s, r.codec), r.opts.Links, pulltime.Rates{})
}

// pullLayers are the layers of an image that has been read.
func pullLayers(o *original, s *scanned) []pulltime.Layer {
	out := make([]pulltime.Layer, len(s.layers))
	for i, l := range s.layers {
		d := o.manifest.Layers[i]
		out[i] = pulltime.Layer{Size: d.Size, Raw: l.tar, Entries: l.entries, Zstd: strings.HasSuffix(string(d.MediaType), "zstd")}
	}
	return out
}

// plannedLayers are the layers that a plan would make.
func plannedLayers(a *After, p *plan.Plan, s *scanned, c codec) []pulltime.Layer {
	zstd := strings.HasSuffix(string(c.mediaType), "zstd")
	out := make([]pulltime.Layer, 0, len(a.Layers))
	for i, l := range a.Layers {
		layer := pulltime.Layer{Size: l.PredictedBytes, Entries: l.Entries, Zstd: zstd}
		if l.Bytes > 0 {
			layer.Size = l.Bytes
		}
		if i < len(s.kept) {
			layer.Zstd = strings.HasSuffix(string(s.kept[i].descriptor.MediaType), "zstd")
			layer.Raw = s.kept[i].raw
		} else {
			layer.Raw = rawSize(&p.Layers[i-len(s.kept)])
		}
		out = append(out, layer)
	}
	return out
}

// assumedLayers are the layers of an image of which only the documents are known.
// The history of our own results tells the numbers of entries.
func assumedLayers(o *original) []pulltime.Layer {
	by := createdBy(o)
	out := make([]pulltime.Layer, len(o.manifest.Layers))
	for i, d := range o.manifest.Layers {
		l := pulltime.Layer{Size: d.Size, Raw: int64(assumedGzip * float64(d.Size))}
		switch {
		case strings.HasSuffix(string(d.MediaType), "zstd"):
			l.Zstd, l.Raw = true, int64(assumedZstd*float64(d.Size))
		case !strings.HasSuffix(string(d.MediaType), "gzip"):
			l.Raw = d.Size
		}
		l.Entries = int(l.Raw / assumedEntry)
		if by != nil {
			var n, of, entries int
			if _, err := fmt.Sscanf(by[i], "docker repack # layer %d of %d, %d entries", &n, &of, &entries); err == nil && entries >= 0 {
				l.Entries = entries
			}
		}
		out[i] = l
	}
	return out
}
