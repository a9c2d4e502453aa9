package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/bed"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/steps"
)

// A Job is what one job took.
type Job struct {
	Up    time.Duration `json:"up"`    // until builds can begin
	Build time.Duration `json:"build"` // with the push, and the export of caches
	Down  time.Duration `json:"down"`  // until what is kept is kept
	Steps steps.Tally   `json:"steps"`
	Mount int           `json:"mount"` // files that the cache mount began with, -1 if there is none
	Moved int64         `json:"moved"` // bytes, -1 if not known
	Kept  int64         `json:"kept"`  // bytes
}

// Wall is the whole job.
func (j Job) Wall() time.Duration { return j.Up + j.Build + j.Down }

// A Fixture is one fixture and what it took each contestant.
type Fixture struct {
	Name string       `json:"name"`
	What string       `json:"what"`
	Rows []FixtureRow `json:"rows"`
}

// A FixtureRow is one contestant's runs: two jobs each.
type FixtureRow struct {
	Contestant string `json:"contestant"`
	First      []Job  `json:"first"`
	Second     []Job  `json:"second"`
}

// jobs has the contestants work on one fixture in turns. Each begins with nothing,
// runs a job, and a second one on a machine that has only what the contestant keeps.
func jobs(ctx context.Context, b *bed.Bed, o options, f fixture) (*Fixture, error) {
	p, err := newPlace(b)
	if err != nil {
		return nil, err
	}
	defer p.meter.Close()
	src, err := b.Work("src")
	if err != nil {
		return nil, err
	}
	if err := f.write(ctx, b, o, src); err != nil {
		return nil, err
	}
	out := &Fixture{Name: f.name, What: f.what(o)}
	all := o.contestants(p)
	for _, c := range all {
		out.Rows = append(out.Rows, FixtureRow{Contestant: c.name()})
	}
	for range o.rounds {
		for i, c := range all {
			first, second, err := twoJobs(ctx, b, f, c, src)
			if err != nil {
				return nil, fmt.Errorf("%s on %s: %w", c.name(), f.name, err)
			}
			row := &out.Rows[i]
			row.First, row.Second = append(row.First, first), append(row.Second, second)
			b.Log("  %-34s %6s, then %6s: up %s, build %s with %d/%d cached, down %s", c.name(), round(first.Wall()), round(second.Wall()),
				round(second.Up), round(second.Build), second.Steps.Cached, second.Steps.Total, round(second.Down))
		}
	}
	return out, nil
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

func twoJobs(ctx context.Context, b *bed.Bed, f fixture, c contestant, src string) (first, second Job, err error) {
	if err := errors.Join(c.forget(ctx), b.Results.Empty()); err != nil {
		return first, second, err
	}
	defer func() {
		// Also when it was interrupted in the middle.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err != nil {
			err = errors.Join(err, giveUp(ctx, b, c))
		}
		err = errors.Join(err, c.forget(ctx))
	}()
	if err := writeFiles(src, f.first); err != nil {
		return first, second, err
	}
	if first, err = oneJob(ctx, b, f, c, src); err != nil {
		return first, second, fmt.Errorf("first job: %w", err)
	}
	if err := writeFiles(src, f.second); err != nil {
		return first, second, err
	}
	if second, err = oneJob(ctx, b, f, c, src); err != nil {
		return first, second, fmt.Errorf("second job: %w", err)
	}
	return first, second, nil
}

// giveUp ends the builder of a job that has failed.
func giveUp(ctx context.Context, b *bed.Bed, c contestant) error {
	if _, ok := c.(*sticky); ok {
		_, err := stickyDown(ctx, b, "--commit", "never", "--drain-timeout", "0s")
		return err
	}
	return c.down(ctx)
}

// oneJob runs a job on a machine that has nothing of an earlier job's.
func oneJob(ctx context.Context, b *bed.Bed, f fixture, c contestant, src string) (Job, error) {
	j := Job{Mount: -1}
	for _, dir := range []string{"state", "machine", "docker"} {
		if _, err := b.Work(dir); err != nil {
			return j, err
		}
	}
	start := time.Now()
	if err := c.up(ctx); err != nil {
		return j, fmt.Errorf("bringing up the builder: %w", err)
	}
	j.Up = time.Since(start)
	start = time.Now()
	argv := append([]string{b.Buildx, "bake", "--builder", builderName, "--progress", "rawjson"}, c.caching(f.targets)...)
	var said bytes.Buffer
	if _, err := measure.Run(ctx, measure.Command{Argv: argv, Env: b.Env(filepath.Join(b.Scratch, "state")), Dir: src, Stderr: &said}); err != nil {
		return j, err
	}
	j.Build = time.Since(start)
	start = time.Now()
	if err := c.down(ctx); err != nil {
		return j, fmt.Errorf("ending the builder: %w", err)
	}
	j.Down = time.Since(start)
	var err error
	if j.Steps, err = steps.Read(&said); err != nil {
		return j, err
	}
	j.Mount = filesInMount(j.Steps.Output)
	j.Moved = c.moved()
	j.Kept, err = c.kept(ctx)
	return j, errors.Join(err, os.RemoveAll(filepath.Join(b.Scratch, "machine")))
}

var inMount = regexp.MustCompile(regexp.QuoteMeta(mountSays) + `(\d+)`)

// filesInMount is what the step with a cache mount has said, -1 if none ran.
func filesInMount(output string) int {
	m := inMount.FindStringSubmatch(output)
	if m == nil {
		return -1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return -1
	}
	return n
}
