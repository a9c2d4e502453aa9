package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/synth"
)

// A MemoryRow is what a contestant needed for an image of one size.
type MemoryRow struct {
	Contestant string        `json:"contestant"`
	Source     bed.Shape     `json:"source"`
	Usage      measure.Usage `json:"usage"`
	Shape      bed.Shape     `json:"shape"`
}

// memory has contestants repack synthetic images of growing size. The rival gets
// those up to o.rivalSize only: it needs minutes per gigabyte.
func memory(ctx context.Context, b *bed.Bed, o options) ([]MemoryRow, error) {
	var rows []MemoryRow
	for _, gb := range o.sizes {
		source, err := synthetic(ctx, b, gb)
		if err != nil {
			return nil, err
		}
		for _, who := range []string{ours, greediest, rivalName} {
			if who == rivalName && gb > o.rivalSize || !o.takesPart(who) {
				continue
			}
			layout := ""
			if who == rivalName {
				if layout, err = layoutOf(ctx, b, source); err != nil {
					return nil, err
				}
			}
			row, err := memoryRow(ctx, b, who, source, layout)
			if layout != "" {
				os.RemoveAll(layout)
			}
			if err != nil {
				return nil, fmt.Errorf("%s on %g GB: %w", who, gb, err)
			}
			rows = append(rows, row)
			b.Log("  %g GB: %s %s", gb, who, row.Usage.Wall)
		}
	}
	return rows, b.Results.Empty()
}

func memoryRow(ctx context.Context, b *bed.Bed, who, source, layout string) (MemoryRow, error) {
	row := MemoryRow{Contestant: who}
	var err error
	if row.Source, err = bed.ShapeOf(source); err != nil {
		return row, err
	}
	k := named(who)
	if err := b.Results.Empty(); err != nil {
		return row, err
	}
	work, err := b.Work("work")
	if err != nil {
		return row, err
	}
	defer os.RemoveAll(work)
	if row.Usage, err = k.run(ctx, b, job{source, layout, resultRef(b), work}); err != nil {
		return row, err
	}
	row.Shape, err = bed.ShapeOf(resultRef(b))
	return row, err
}

// synthetic returns the reference of an image of so many gigabytes, made if it is
// not there from an earlier run.
func synthetic(ctx context.Context, b *bed.Bed, gb float64) (string, error) {
	ref := fmt.Sprintf("%s/synthetic:%s-%s", b.Sources.Addr, strconv.FormatFloat(gb, 'g', -1, 64), runtime.Version())
	if bed.Exists(ref) {
		return ref, nil
	}
	b.Log("making an image of %g GB", gb)
	corpus, err := synth.ReadCorpus(filepath.Join(runtime.GOROOT(), "src")) //nolint:staticcheck // "go run" needs it as well
	if err != nil {
		return "", err
	}
	dir, err := b.Work("synthetic")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	img, err := synth.Image(int64(gb*1e9), corpus, dir)
	if err != nil {
		return "", err
	}
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return "", err
	}
	if err := remote.Write(r, img, remote.WithContext(ctx), remote.WithJobs(2)); err != nil {
		return "", fmt.Errorf("pushing the image of %g GB: %w", gb, err)
	}
	return ref, nil
}

func memoryMarkdown(rows []MemoryRow) string {
	var cells [][]string
	for _, r := range rows {
		cells = append(cells, []string{
			r.Contestant, markdown.MB(r.Source.Bytes), markdown.Seconds(r.Usage.Wall), markdown.Seconds(r.Usage.CPU),
			markdown.MB(r.Usage.RSS), markdown.MB(r.Usage.Disk), strings.TrimSuffix(markdown.Ratio(r.Usage.Disk, r.Source.Bytes), "×"), markdown.MB(r.Shape.Bytes),
		})
	}
	return markdown.Table([]string{"", "source MB", "wall s", "CPU s", "peak RSS MB", "peak temp MB", "temp / source", "result MB"}, cells)
}
