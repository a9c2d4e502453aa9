package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/bed"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/meter"
)

// A contestant gives every job a builder, and keeps something from one job to the
// next. The machine of a job has nothing but that.
type contestant interface {
	name() string
	// forget removes whatever is kept.
	forget(ctx context.Context) error
	// up makes a builder named builderName.
	up(ctx context.Context) error
	// caching returns options of bake for the targets' caches.
	caching(targets []string) []string
	// down ends the builder and keeps what the next job shall have.
	down(ctx context.Context) error
	// kept is how many bytes that takes.
	kept(ctx context.Context) (int64, error)
	// moved is how many bytes up and down have transferred or copied, -1 if that is not known.
	moved() int64
}

// ours is what all others are compared with.
const ours = "docker stickybuilder, dir:"

// builderName is the builder of every contestant's jobs.
const builderName = "dockerfactory-bench"

// place is what contestants have in common.
type place struct {
	b     *bed.Bed
	meter *meter.Meter // before the store
	toml  string
	dir   string // what a contestant keeps on a disk
}

func newPlace(b *bed.Bed) (place, error) {
	p := place{b: b, meter: meter.Listen(b.Store.Addr), toml: filepath.Join(b.Scratch, "buildkitd.toml"), dir: filepath.Join(b.Scratch, "kept")}
	return p, b.Config(p.toml, "", p.meter.Addr())
}

func contestants(p place) []contestant {
	return []contestant{
		&sticky{place: p, title: ours, disk: "dir:" + filepath.Join(p.dir, "pool")},
		&sticky{place: p, title: "docker stickybuilder, oci:", disk: "oci:" + p.meter.Addr() + "/disks"},
		&container{place: p, title: "docker-container, --keep-state", keepState: true},
		&container{place: p, title: "docker-container, type=local", cache: "local"},
		&container{place: p, title: "docker-container, type=registry", cache: "registry"},
		&tarball{place: p},
		&blacksmith{place: p},
	}
}

// forgetAll empties all places in which something is kept.
func (p place) forget(context.Context) error {
	err := errors.Join(p.b.Store.Empty(), os.RemoveAll(p.dir), os.MkdirAll(p.dir, 0o755))
	p.meter.Reset()
	return err
}

// A sticky is the plugin.
type sticky struct {
	place
	title, disk string
	cloned      int64
}

func (s *sticky) name() string              { return s.title }
func (s *sticky) caching([]string) []string { return nil }

// upped and downed are what this needs of the plugin's answers.
type upped struct {
	Cache       string
	ReadyMillis int64 `json:"readyMilliseconds"`
	Clone       struct {
		Method              string
		Milliseconds, Bytes int64
	}
}

type downed struct {
	Decision, Reason string

	wall time.Duration
}

// call runs the plugin with its state in state, and reads what it prints.
func call(ctx context.Context, b *bed.Bed, result any, args ...string) (measure.Usage, error) {
	out, err := os.CreateTemp(b.Scratch, "answer-*")
	if err != nil {
		return measure.Usage{}, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	argv := append([]string{b.Ours}, append(args, "--format", "json")...)
	u, err := measure.Run(ctx, measure.Command{Argv: argv, Env: b.Env(filepath.Join(b.Scratch, "state")), Stdout: out, Dir: b.Scratch})
	if err != nil {
		return u, err
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		return u, err
	}
	if err := json.Unmarshal(text, result); err != nil {
		return u, fmt.Errorf("reading what %s said: %w", args[0], err)
	}
	return u, nil
}

func stickyUp(ctx context.Context, b *bed.Bed, disk, toml string, more ...string) (u upped, _ measure.Usage, err error) {
	args := []string{"up", builderName, "--disk", disk, "--key", "bench", "--ref", "", "--driver", "process", "--config", toml, "--watch-pid", "none", "--progress", "quiet"}
	usage, err := call(ctx, b, &u, append(args, more...)...)
	return u, usage, err
}

func stickyDown(ctx context.Context, b *bed.Bed, more ...string) (downed, error) {
	var d downed
	usage, err := call(ctx, b, &d, append([]string{"down", builderName, "--progress", "quiet"}, more...)...)
	if err == nil && d.Decision != "commit" && !slices.Contains(more, "never") {
		err = fmt.Errorf("down: %s: %s", d.Decision, d.Reason)
	}
	d.wall = usage.Wall
	return d, err
}

func (s *sticky) up(ctx context.Context) error {
	s.meter.Reset()
	u, _, err := stickyUp(ctx, s.b, s.disk, s.toml)
	s.cloned = u.Clone.Bytes
	return err
}

func (s *sticky) down(ctx context.Context) error {
	_, err := stickyDown(ctx, s.b)
	return err
}

func (s *sticky) moved() int64 {
	if n := s.meter.Reset().Moved(); n > 0 {
		return n
	}
	return s.cloned
}

func (s *sticky) kept(context.Context) (int64, error) {
	return measure.DiskUsage(s.dir) + measure.DiskUsage(s.b.Store.Dir), nil
}
