// Command stickybuilder compares docker stickybuilder with other ways to keep what
// BuildKit knows from one job to the next. See bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/bench/internal/command"
	"github.com/dockerfactory/dockerfactory/bench/internal/machine"
	"github.com/dockerfactory/dockerfactory/bench/internal/results"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/bed"
)

// options are what the command line says.
type options struct {
	fixtures, who, sections, pools []string
	rounds, repeat, layers, files  int
	big, copied, stored            float64   // GB
	sizes                          []float64 // GB
	links                          []int64   // Mb/s
	cache, date, note              string
	jsonPath, tablePath            string
}

var allSections = []string{"jobs", "scaling", "registry", "checkpoint"}

func main() { command.Main(run) }

func parse(args []string) (options, error) {
	var o options
	var names []string
	for _, f := range fixtures {
		names = append(names, f.name)
	}
	fs := flag.NewFlagSet("stickybuilder", flag.ContinueOnError)
	chosen := fs.String("fixtures", strings.Join(names, ","), "what jobs build")
	who := fs.String("contestants", "", "parts of the names of those who take part, separated by commas (default all)")
	sections := fs.String("sections", strings.Join(allSections, ","), "what to measure")
	pools := fs.String("pools", strings.Join(allPools, ","), "kinds of pools")
	sizes := fs.String("sizes", "1,10,50", "sizes of the pools' disks, in GB, in extents that are not written")
	speeds := fs.String("links", "200,1000", "speeds of the links to the registry, in Mb/s")
	fs.IntVar(&o.rounds, "rounds", 1, "how often each contestant runs its two jobs")
	fs.IntVar(&o.repeat, "repeat", 3, "how often everything else is measured")
	fs.IntVar(&o.layers, "layers", 32, "steps of the fixture with many layers")
	fs.Float64Var(&o.big, "big", 0.5, "size of the big layer, in GB")
	fs.IntVar(&o.files, "files", 1000, "files for each GB of a pool's disk")
	fs.Float64Var(&o.copied, "copied", 1, "largest disk for pools that copy, in GB")
	fs.Float64Var(&o.stored, "stored", 0.5, "size of the disk in the registry, in GB")
	fs.StringVar(&o.cache, "cache", "", "directory for scratch files (default bench-stickybuilder in the testbed's cache)")
	fs.StringVar(&o.date, "date", "", "date to state in the report")
	fs.StringVar(&o.note, "note", "", "remark to state in the report, such as the machine's load")
	fs.StringVar(&o.jsonPath, "json", "bench/stickybuilder/results.json", "raw figures; what is not measured again is kept")
	fs.StringVar(&o.tablePath, "markdown", "bench/stickybuilder/RESULTS.md", "the report")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("reading the command line: %q is no option", fs.Arg(0))
	}
	o.fixtures, o.who, o.sections, o.pools = command.List(*chosen), command.List(*who), command.List(*sections), command.List(*pools)
	err := errors.Join(command.Among("fixtures", o.fixtures, names), command.Among("sections", o.sections, allSections), command.Among("pools", o.pools, allPools))
	if err != nil {
		return o, err
	}
	if o.sizes, err = command.Sizes(*sizes); err != nil {
		return o, err
	}
	if o.links, err = command.Links(*speeds); err != nil {
		return o, err
	}
	if o.rounds < 1 || o.repeat < 1 || o.layers < 1 || o.big <= 0 || o.stored <= 0 || o.files < 1 {
		return o, errors.New("reading the command line: -rounds, -repeat, -layers, -big, -stored and -files must be more than 0")
	}
	return o, nil
}

// contestants are those who were chosen. The one that all are compared with always is.
func (o options) contestants(p place) []contestant {
	return slices.DeleteFunc(contestants(p), func(c contestant) bool {
		return c.name() != ours && !command.Named(c.name(), o.who)
	})
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
	return errors.Join(measureAll(ctx, b, o, figures), b.Close())
}

// measureAll measures the chosen sections and writes the results after each part.
func measureAll(ctx context.Context, b *bed.Bed, o options, r *Results) (err error) {
	r.Date, r.Note = o.date, o.note
	tools := map[string][]string{"go": {"go", "version"}, "zstd": {"zstd", "--version"}, "tar": {"tar", "--version"}}
	for _, name := range []string{"buildkitd", "registry"} {
		tools[name] = []string{"go", "version", "-m", b.Tool(name)}
	}
	tools["buildx"] = []string{"go", "version", "-m", b.Buildx}
	if r.Facts, err = machine.Look(ctx, tools, b.Env(b.Scratch)); err != nil {
		return err
	}
	for _, section := range o.sections {
		b.Log("%s", section)
		switch section {
		case "jobs":
			for _, name := range o.fixtures {
				b.Log("%s", name)
				f, err := jobs(ctx, b, o, fixtures[fixtureNamed(name)])
				if err != nil {
					return err
				}
				r.replace(f)
				if err := r.write(o.jsonPath, o.tablePath); err != nil {
					return err
				}
			}
		case "scaling":
			r.Scaling, err = scaling(ctx, b, o)
		case "registry":
			r.Registry, err = inRegistry(ctx, b, o)
		case "checkpoint":
			r.Checkpoints, err = checkpoints(ctx, b, o)
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
