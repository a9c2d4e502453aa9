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
	Ref        *string // nil means DefaultRef with the default key, else the only one that there is
	DefaultRef string
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

// lineage finds the one that is meant: by key and ref, or by KEY@REF in the key, as
// tables show it; without a ref the default one or, with a key, the only one.
func (o Choice) lineage(all []disk.Lineage) (disk.Lineage, error) {
	key := first(o.Key, o.DefaultKey)
	ofKey := picked(all, Filter{Key: key})
	if before, after, found := strings.Cut(o.Key, "@"); found && len(ofKey) == 0 && o.Ref == nil {
		o.Ref = &after
		if ofKey = picked(all, Filter{Key: before}); len(ofKey) > 0 {
			key = before
		}
	}
	if len(ofKey) == 0 && o.Key == "" {
		// Before there were refs, it was part of the default key.
		ofKey = picked(all, Filter{Key: disk.Lineage{Key: key, Ref: o.DefaultRef}.Name()})
	}
	if len(ofKey) == 0 {
		var keys []string
		for _, l := range all {
			keys = append(keys, l.Key)
		}
		return disk.Lineage{}, unknownKey(o, key, slices.Compact(keys))
	}
	found := picked(ofKey, Filter{Ref: o.Ref})
	if own := picked(ofKey, Filter{Ref: &o.DefaultRef}); o.Ref == nil && (o.Key == "" || o.Key == o.DefaultKey) && len(own) > 0 {
		found = own
	}
	refs := texts(found, func(l disk.Lineage) string { return first(l.Ref, `""`) })
	switch {
	case len(found) == 0:
		refs = texts(ofKey, func(l disk.Lineage) string { return first(l.Ref, `""`) })
		return disk.Lineage{}, fault.Hint(fmt.Errorf("disk %s has nothing for ref %q under key %s", o.Disk, *o.Ref, key), "there is: %s", strings.Join(refs, ", "))
	case len(refs) > 1:
		return disk.Lineage{}, fault.Hint(fmt.Errorf("disk %s has several refs under key %s", o.Disk, key), "name one with --ref: %s", strings.Join(refs, ", "))
	}
	platforms := texts(found, func(l disk.Lineage) string { return l.Platform })
	found = picked(found, Filter{Platform: o.Platform})
	switch {
	case len(found) == 0:
		return disk.Lineage{}, fault.Hint(fmt.Errorf("disk %s has nothing for platform %s under key %s", o.Disk, o.Platform, key), "there is: %s", strings.Join(platforms, ", "))
	case len(found) > 1:
		return disk.Lineage{}, fault.Hint(fmt.Errorf("disk %s has several platforms under key %s", o.Disk, key), "name one with --platform: %s", strings.Join(platforms, ", "))
	}
	return found[0], nil
}

func picked(all []disk.Lineage, f Filter) (out []disk.Lineage) {
	for _, l := range all {
		if f.has(l) {
			out = append(out, l)
		}
	}
	return out
}

// texts lists something of lineages, each once.
func texts(all []disk.Lineage, of func(disk.Lineage) string) (out []string) {
	for _, l := range all {
		if t := of(l); !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

func unknownKey(o Choice, key string, keys []string) error {
	err := fmt.Errorf("disk %s has no key %s", o.Disk, key)
	if near := fault.Nearest(key, keys); near != "" && near != key {
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
		if !(Filter{Ref: o.Ref, Platform: o.Platform}).has(l) {
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
