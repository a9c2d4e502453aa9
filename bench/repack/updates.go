package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/change"
)

const (
	releases = 10
	// buildEpoch is the time of all files that a build makes, so that a file which is
	// installed again is the same file.
	buildEpoch = "1704067200"
)

// An Update is what a host that has one release pulls to get the next.
type Update struct {
	Release  int         `json:"release"`
	What     string      `json:"what"`
	Changed  change.Size `json:"changed"`
	Source   int64       `json:"source"`
	Repacked int64       `json:"repacked"`
	Previous int64       `json:"previous"`
	Rival    int64       `json:"rival"`
}

// release returns the build arguments of a release, and what is new in it.
func release(n int) (args map[string]string, what string) {
	deps, upgrade, what := "1", "", "code"
	if n >= 4 {
		deps = "2"
	}
	if n >= 8 {
		deps = "3"
	}
	if n >= 6 {
		upgrade = "yes"
	}
	switch n {
	case 4, 8:
		what = "code, dependencies"
	case 6:
		what = "code, a system package"
	}
	return map[string]string{"VERSION": strconv.Itoa(n), "DEPS": deps, "UPGRADE": upgrade, "SOURCE_DATE_EPOCH": buildEpoch}, what
}

// updates repacks ten releases of an application and counts the bytes that a host
// which has the release before must pull: the blobs that it does not have.
func updates(ctx context.Context, b *bed.Bed, o options) ([]Update, error) {
	var args []map[string]string
	for n := range releases {
		a, _ := release(n + 1)
		args = append(args, a)
	}
	refs, err := b.Series(ctx, "updates", args, "--opt", "build-arg:SOURCE_DATE_EPOCH="+buildEpoch)
	if err != nil {
		return nil, err
	}
	if err := b.Results.Empty(); err != nil {
		return nil, err
	}
	var out []Update
	var before change.Tree
	var have [4]map[string]int64 // blobs of the release before: source, repacked, repacked with --previous, rival
	for i, source := range refs {
		u := Update{Release: i + 1}
		_, u.What = release(i + 1)
		shapes, err := repackRelease(ctx, b, o, i+1, source)
		if err != nil {
			return nil, fmt.Errorf("release %d: %w", i+1, err)
		}
		if before, u.Changed, err = change.Since(ctx, before, b.Tool("crane"), source); err != nil {
			return nil, err
		}
		for k, bytes := range []*int64{&u.Source, &u.Repacked, &u.Previous, &u.Rival} {
			for digest, size := range shapes[k] {
				if _, ok := have[k][digest]; !ok {
					*bytes += size
				}
			}
			have[k] = shapes[k]
		}
		b.Log("  release %d", i+1)
		if i > 0 {
			out = append(out, u)
		}
	}
	return out, b.Results.Empty()
}

// repackRelease returns the blobs of the source and of what each made of it.
func repackRelease(ctx context.Context, b *bed.Bed, o options, n int, source string) (blobs [4]map[string]int64, err error) {
	work, err := b.Work("work")
	if err != nil {
		return blobs, err
	}
	defer os.RemoveAll(work)
	ref := func(who string, n int) string { return fmt.Sprintf("%s/%s:%d", b.Results.Addr, who, n) }
	if _, _, err := repack(ctx, b, work, "docker://"+source, "docker://"+ref("repacked", n)); err != nil {
		return blobs, err
	}
	previous := []string{"docker://" + source, "docker://" + ref("previous", n)}
	if n > 1 {
		previous = append(previous, "--previous", "docker://"+ref("previous", n-1))
	}
	if _, _, err := repack(ctx, b, work, previous...); err != nil {
		return blobs, err
	}
	refs := []string{source, ref("repacked", n), ref("previous", n)}
	if o.takesPart(rivalName) {
		layout, err := layoutOf(ctx, b, source)
		if err != nil {
			return blobs, err
		}
		defer os.RemoveAll(layout)
		k := named(rivalName)
		dest := ref("rival", n)
		if _, err := k.run(ctx, b, job{source, layout, dest, work}); err != nil {
			return blobs, err
		}
		refs = append(refs, dest)
	}
	for i, ref := range refs {
		shape, err := bed.ShapeOf(ref)
		if err != nil {
			return blobs, err
		}
		blobs[i] = shape.Blobs
	}
	return blobs, nil
}

func updatesMarkdown(list []Update) string {
	var rows [][]string
	var total Update
	for _, u := range list {
		rows = append(rows, updateCells(fmt.Sprintf("%d: %s", u.Release, u.What), u))
		total.Changed.Contents += u.Changed.Contents
		total.Changed.Entries += u.Changed.Entries
		total.Source, total.Repacked, total.Previous, total.Rival = total.Source+u.Source, total.Repacked+u.Repacked, total.Previous+u.Previous, total.Rival+u.Rival
	}
	rows = append(rows, updateCells("all", total), []string{
		"× changed entries", "", "",
		markdown.Ratio(total.Source, total.Changed.Entries), markdown.Ratio(total.Previous, total.Changed.Entries),
		markdown.Ratio(total.Repacked, total.Changed.Entries), markdown.Ratio(total.Rival, total.Changed.Entries),
	})
	return markdown.Table([]string{"release", "changed contents MB", "changed entries MB", "source MB", "repack --previous MB", "repack MB", "docker-repack MB"}, rows)
}

func updateCells(name string, u Update) []string {
	return []string{
		name, markdown.MB(u.Changed.Contents), markdown.MB(u.Changed.Entries), markdown.MB(u.Source),
		markdown.MB(u.Previous), markdown.MB(u.Repacked), markdown.MB(u.Rival),
	}
}
