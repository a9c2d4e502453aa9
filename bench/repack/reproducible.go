package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
)

// A Reproduction is the digest that came out with so many workers.
type Reproduction struct {
	Image  string `json:"image"`
	Jobs   int    `json:"jobs"`
	Digest string `json:"digest"`
}

// reproducible repacks one image with 1, 2 and 16 workers, and once more.
func reproducible(ctx context.Context, b *bed.Bed, o options) ([]Reproduction, error) {
	source, err := b.Source(ctx, o.smallImage)
	if err != nil {
		return nil, err
	}
	var out []Reproduction
	for _, jobs := range []int{1, 2, 16, 16} {
		work, err := b.Work("work")
		if err != nil {
			return nil, err
		}
		_, digest, err := repack(ctx, b, work, "docker://"+source, "oci://"+filepath.Join(work, "out"), "--jobs", strconv.Itoa(jobs))
		if err != nil {
			return nil, err
		}
		out = append(out, Reproduction{o.smallImage, jobs, digest})
		if err := os.RemoveAll(work); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func reproducibleMarkdown(list []Reproduction) string {
	var rows [][]string
	for _, r := range list {
		rows = append(rows, []string{r.Image, strconv.Itoa(r.Jobs), "`" + r.Digest + "`"})
	}
	return markdown.Table([]string{"image", "jobs", "digest"}, rows)
}
