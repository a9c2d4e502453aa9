package sticky

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Choice names one lineage of a disk, or one generation.
type Choice struct {
	Disk       string // --disk
	Key        string // "" means DefaultKey or, if there is a Generation, any
	DefaultKey string
	Platform   string // "" means the only one that the key has
	Generation string // "" for the lineage itself
}

// A chosen is what a Choice has found.
type chosen struct {
	shelf   Shelf
	lineage disk.Lineage
	records []disk.Record
	record  *disk.Record // of the Generation; nil if none was named
}

func (c *chosen) head() string {
	for _, r := range c.records {
		if r.Head {
			return r.ID
		}
	}
	return ""
}

func (c *chosen) find(id string) *disk.Record {
	for i := range c.records {
		if c.records[i].ID == id {
			return &c.records[i]
		}
	}
	return nil
}

// choose opens the disk, which the caller closes, and looks up what is named.
// Errors say what was meant.
func (h Host) choose(ctx context.Context, o Choice) (_ *chosen, err error) {
	shelf, err := h.OpenShelf(o.Disk)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, shelf.Close())
		}
	}()
	all, err := shelf.Lineages(ctx)
	if err != nil {
		return nil, err
	}
	if o.Key == "" && o.Generation != "" {
		return anywhere(ctx, shelf, all, o)
	}
	l, err := o.lineage(all)
	if err != nil {
		return nil, err
	}
	c := &chosen{shelf: shelf, lineage: l}
	if c.records, err = shelf.Records(ctx, l); err != nil {
		return nil, err
	}
	if o.Generation == "" {
		return c, nil
	}
	if c.record = c.find(o.Generation); c.record == nil {
		return nil, noGeneration(o, c.records)
	}
	return c, nil
}

func (o Choice) lineage(all []disk.Lineage) (disk.Lineage, error) {
	key := first(o.Key, o.DefaultKey)
	var found []disk.Lineage
	var keys, platforms []string
	for _, l := range all {
		if !slices.Contains(keys, l.Key) {
			keys = append(keys, l.Key)
		}
		if l.Key != key {
			continue
		}
		platforms = append(platforms, l.Platform)
		if o.Platform == "" || o.Platform == l.Platform {
			found = append(found, l)
		}
	}
	switch {
	case len(platforms) == 0:
		return disk.Lineage{}, unknownKey(o, key, keys)
	case len(found) == 0:
		return disk.Lineage{}, fault.Hint(fmt.Errorf("disk %s has nothing for platform %s under key %s", o.Disk, o.Platform, key), "there is: %s", strings.Join(platforms, ", "))
	case len(found) > 1:
		return disk.Lineage{}, fault.Hint(fmt.Errorf("disk %s has several platforms under key %s", o.Disk, key), "name one with --platform: %s", strings.Join(platforms, ", "))
	}
	return found[0], nil
}

func unknownKey(o Choice, key string, keys []string) error {
	err := fmt.Errorf("disk %s has no key %s", o.Disk, key)
	if near := fault.Nearest(key, keys); near != "" {
		return fault.Hint(err, "did you mean --key %s", near)
	}
	if len(keys) == 0 {
		return fault.Hint(err, "it is empty: a key comes with the first commit of docker stickybuilder down")
	}
	return fault.Hint(err, "see its keys: docker stickybuilder disk ls --disk %s", o.Disk)
}

// anywhere looks for a generation in all lineages: ids do not repeat.
func anywhere(ctx context.Context, shelf Shelf, all []disk.Lineage, o Choice) (*chosen, error) {
	var seen []disk.Record
	for _, l := range all {
		if o.Platform != "" && o.Platform != l.Platform {
			continue
		}
		c := &chosen{shelf: shelf, lineage: l}
		var err error
		if c.records, err = shelf.Records(ctx, l); err != nil {
			return nil, err
		}
		if c.record = c.find(o.Generation); c.record != nil {
			return c, nil
		}
		seen = append(seen, c.records...)
	}
	return nil, noGeneration(o, seen)
}

func noGeneration(o Choice, seen []disk.Record) error {
	ids := make([]string, len(seen))
	for i, r := range seen {
		ids[i] = r.ID
	}
	err := fmt.Errorf("disk %s has no generation %s", o.Disk, o.Generation)
	if near := fault.Nearest(o.Generation, ids); near != "" {
		return fault.Hint(err, "did you mean %s", near)
	}
	return fault.Hint(err, "see the generations of a key: docker stickybuilder disk inspect --key KEY")
}
