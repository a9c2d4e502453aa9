// Command repack compares docker repack with its peers on real images. See
// bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/command"
	"github.com/dockerfactory/dockerfactory/bench/internal/results"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
)

// options are what the command line says.
type options struct {
	images, who, sections            []string
	repeat                           int
	enough                           time.Duration
	sizes                            []float64 // GB
	rivalSize                        float64
	links                            []int64 // Mb/s
	linkImage, limitImage            string
	smallImage, judged               string
	pull                             bool
	cache, date, jsonPath, tablePath string
}

var allSections = []string{"contest", "limit", "memory", "links", "updates", "reproducible"}

func main() { command.Main(run) }

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("repack", flag.ContinueOnError)
	images := fs.String("images", "python,node", "images to repack: small, python, node, java, compilers, tiny")
	who := fs.String("contestants", "", "parts of the names of those who take part, separated by commas (default all)")
	sections := fs.String("sections", strings.Join(allSections, ","), "what to measure")
	sizes := fs.String("sizes", "0.2,1,5", "sizes of the synthetic images, in GB")
	speeds := fs.String("links", "50,200,1000", "speeds of the links, in Mb/s")
	fs.Float64Var(&o.rivalSize, "rival-size", 0.2, "largest synthetic image that docker-repack gets, in GB")
	fs.IntVar(&o.repeat, "repeat", 3, "most runs of one contestant on one image")
	fs.DurationVar(&o.enough, "enough", 10*time.Second, "a contestant whose runs took so long in all is not repeated")
	fs.StringVar(&o.linkImage, "link-image", "small", "image that is pulled over links")
	fs.StringVar(&o.limitImage, "limit-image", "small", "image that is compared with zstd alone")
	fs.StringVar(&o.smallImage, "reproduced", "small", "image that is repacked with several numbers of workers")
	fs.StringVar(&o.judged, "judged", "python", "image whose results umoci and rsync look at")
	fs.BoolVar(&o.pull, "pull", true, "pull sources and results with the engine")
	fs.StringVar(&o.cache, "cache", "", "directory for the rival, the images and scratch files (default bench in the testbed's cache)")
	fs.StringVar(&o.date, "date", "", "date to state in the report")
	fs.StringVar(&o.jsonPath, "json", "bench/repack/results.json", "raw figures; what is not measured again is kept")
	fs.StringVar(&o.tablePath, "markdown", "bench/repack/RESULTS.md", "the report")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("reading the command line: %q is no option", fs.Arg(0))
	}
	o.images, o.who, o.sections = command.List(*images), command.List(*who), command.List(*sections)
	err := command.Among("sections", o.sections, allSections)
	if err != nil {
		return o, err
	}
	if o.sizes, err = command.Sizes(*sizes); err != nil {
		return o, err
	}
	if o.links, err = command.Links(*speeds); err != nil {
		return o, err
	}
	if o.repeat < 1 {
		return o, fmt.Errorf("-repeat %d: must be 1 or more", o.repeat)
	}
	return o, nil
}

// takesPart tells whether a contestant was chosen. The one that all are compared
// with always is.
func (o options) takesPart(name string) bool {
	return name == ours || command.Named(name, o.who)
}

func (o options) contestants() []contestant {
	return slices.DeleteFunc(slices.Clone(contestants), func(c contestant) bool { return !o.takesPart(c.name) })
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	figures, err := results.Read[Results](o.jsonPath)
	if err != nil {
		return err
	}
	b, err := bed.Open(ctx, o.cache, command.Log())
	if err != nil {
		return err
	}
	err = measureAll(ctx, b, o, figures)
	return errors.Join(err, b.Close())
}

// measureAll measures the chosen sections and writes the results after each.
func measureAll(ctx context.Context, b *bed.Bed, o options, r *Results) error {
	var err error
	r.Date = o.date
	if r.Facts, err = facts(ctx, b); err != nil {
		return err
	}
	for _, section := range o.sections {
		b.Log("%s", section)
		switch section {
		case "contest":
			for _, image := range o.images {
				b.Log("%s", image)
				c, err := contest(ctx, b, o, image)
				if err != nil {
					return err
				}
				r.replace(c)
				if err := r.write(o.jsonPath, o.tablePath); err != nil {
					return err
				}
			}
		case "limit":
			r.Limit, err = limit(ctx, b, o)
		case "memory":
			r.Memory, err = memory(ctx, b, o)
		case "links":
			r.Links, err = links(ctx, b, o)
		case "updates":
			r.Updates, err = updates(ctx, b, o)
		case "reproducible":
			r.Reproduction, err = reproducible(ctx, b, o)
		}
		if err != nil {
			return fmt.Errorf("measuring %s: %w", section, err)
		}
		if err := r.write(o.jsonPath, o.tablePath); err != nil {
			return err
		}
	}
	return nil
}
