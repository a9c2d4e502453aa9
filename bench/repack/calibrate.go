package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/synth"
)

// Rates are what the engine takes on this machine, as "docker repack pull-time"
// wants to know it.
type Rates struct {
	Gzip  float64  `json:"gzip"` // MB/s of tar stream
	Zstd  float64  `json:"zstd"`
	Entry Duration `json:"entry"`
	Layer Duration `json:"layer"`
	Start Duration `json:"start"`
}

// A calibration measures rates, again and again: what else the machine does only
// ever makes pulls slower, so the fastest ones count.
type calibration struct {
	refs    map[string]string
	fastest map[string]time.Duration
}

// newCalibration pushes the images that rates are measured with.
func newCalibration(ctx context.Context, b *bed.Bed) (*calibration, error) {
	corpus, err := synth.ReadCorpus(filepath.Join(runtime.GOROOT(), "src")) //nolint:staticcheck // "go run" needs it as well
	if err != nil {
		return nil, err
	}
	images, err := synth.Calibration(corpus, 1)
	if err != nil {
		return nil, err
	}
	c := &calibration{refs: map[string]string{}, fastest: map[string]time.Duration{}}
	for what, img := range images {
		c.refs[what] = b.Results.Addr + "/calibration/" + what + ":latest"
		r, err := name.ParseReference(c.refs[what], name.Insecure)
		if err != nil {
			return nil, err
		}
		if err := remote.Write(r, img, remote.WithContext(ctx)); err != nil {
			return nil, fmt.Errorf("pushing an image to calibrate with: %w", err)
		}
	}
	return c, nil
}

// measure pulls the images once, without a slow link.
func (c *calibration) measure(ctx context.Context, b *bed.Bed) error {
	for _, what := range []string{"one", "layers", "entries", "zstd", "gzip"} {
		took, err := b.Pull(ctx, c.refs[what])
		if err != nil {
			return fmt.Errorf("calibrating: %w", err)
		}
		if before, again := c.fastest[what]; !again || took < before {
			c.fastest[what] = took
		}
	}
	r := ratesOf(c.fastest)
	b.Log("  rates so far: %.0f and %.0f MB/s from gzip and zstd, %s for an entry, %s for a layer, %s for a pull", r.Gzip, r.Zstd, r.Entry, r.Layer, r.Start)
	return nil
}

// ratesOf solves for the rates. What noise has made negative is as good as nothing.
func ratesOf(took map[string]time.Duration) Rates {
	positive := func(d time.Duration) time.Duration { return max(d, time.Microsecond) }
	layer := positive(took["layers"]-took["one"]) / (synth.CalibrationLayers - 1)
	perMB := func(d time.Duration) float64 { return synth.CalibrationBytes / 1e6 / positive(d-took["one"]).Seconds() }
	r := Rates{Gzip: perMB(took["gzip"]), Zstd: perMB(took["zstd"]), Layer: layer, Start: positive(took["one"] - layer)}
	stream := time.Duration(synth.CalibrationEntries * 1024 / 1e6 / r.Zstd * float64(time.Second)) // header and content
	r.Entry = positive(took["entries"]-took["one"]-stream) / synth.CalibrationEntries
	return r
}

// flags are those of "docker repack pull-time".
func (r Rates) flags() []string {
	rate := func(mb float64) string { return strconv.FormatFloat(mb, 'f', 1, 64) }
	return []string{
		"--gzip-rate", rate(r.Gzip), "--zstd-rate", rate(r.Zstd), "--entry-cost", r.Entry.String(),
		"--layer-cost", r.Layer.String(), "--start-cost", r.Start.String(),
	}
}

func (r Rates) markdown() string {
	return markdown.Table([]string{"gzip MB/s", "zstd MB/s", "µs for an entry", "ms for a layer", "ms for a pull"}, [][]string{{
		fmt.Sprintf("%.0f", r.Gzip), fmt.Sprintf("%.0f", r.Zstd), fmt.Sprintf("%.0f", float64(r.Entry)/1e3),
		fmt.Sprintf("%.0f", float64(r.Layer)/1e6), fmt.Sprintf("%.0f", float64(r.Start)/1e6),
	}})
}
