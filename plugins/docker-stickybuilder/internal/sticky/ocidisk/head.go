package ocidisk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
)

// Head returns the current generation, nil if there is none. An error that matches
// disk.ErrBad says that what has the head's tag is none, and that the next Clone takes
// another generation for it.
func (d *Disk) Head(ctx context.Context, l disk.Lineage) (*disk.Generation, error) {
	m, err := d.head(ctx, l)
	if err != nil || m.record == nil {
		return nil, err
	}
	g := m.record.Generation
	return &g, nil
}

// head reads the head's manifest; one without a record if there is no head.
func (d *Disk) head(ctx context.Context, l disk.Lineage) (*manifest, error) {
	m, err := d.read(ctx, headTag(l))
	if errors.Is(err, registry.ErrNotFound) {
		return &manifest{}, nil
	}
	if err == nil && m.record != nil && m.record.Lineage != l {
		err = fmt.Errorf("%w: it is the head of %s", disk.ErrBad, m.record.Lineage)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the head of %s: %w", l, d.explain(err))
	}
	return m, nil
}

func (d *Disk) read(ctx context.Context, ref string) (*manifest, error) {
	raw, _, err := d.client.GetManifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(raw)
	if err != nil && !errors.Is(err, disk.ErrNewer) {
		err = fmt.Errorf("%w: %w", disk.ErrBad, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s of %s: %w", ref, d.client, err)
	}
	return m, nil
}

// generation reads a generation's manifest, once.
func (d *Disk) generation(ctx context.Context, l disk.Lineage, g listed) (*manifest, error) {
	d.mu.Lock()
	m := d.manifests[g.tag]
	d.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := d.read(ctx, g.tag)
	if err != nil {
		return nil, err
	}
	if m.id() != g.id || m.record.Lineage != l {
		return nil, fmt.Errorf("reading manifest %s of %s: it is another generation's", g.tag, d.client)
	}
	d.mu.Lock()
	d.manifests[g.tag] = m
	d.mu.Unlock()
	return m, nil
}

// list reads the tags of a lineage.
func (d *Disk) list(ctx context.Context, l disk.Lineage) (listing, error) {
	tags, err := d.client.Tags(ctx, lineagePrefix(l))
	return parseTags(l, tags), d.explain(err)
}

// find returns a generation's tag, with an error that matches fs.ErrNotExist if
// there is none.
func (s listing) must(l disk.Lineage, id string) (listed, error) {
	if g := s.find(id); g != nil {
		return *g, nil
	}
	return listed{}, notThere(l, id)
}

// A claim is a generation that is to become the head.
type claim struct {
	manifest *manifest
	lineage  disk.Lineage
	base     string   // the head that it follows, "" for none
	known    []string // tags that were there when its copy was made
	resets   int      // likewise
	rule     disk.Rule
}

// publish makes a generation known and, if it may, the head. The registry cannot
// compare and swap, so jobs announce first: a generation's own tag is put before the
// tags are listed, and the head is moved after that. Of two jobs at least one
// sees the other. Who sees nobody goes on at once; who sees another lets it go first.
//
// The error matches disk.ErrConflict if the generation is kept beside the head.
func (d *Disk) publish(ctx context.Context, c claim) error {
	g := c.manifest.record.Generation
	tag := generationTag(g)
	if err := d.client.PutManifest(ctx, tag, c.manifest.raw); err != nil {
		return err
	}
	d.mu.Lock()
	d.manifests[tag] = c.manifest
	d.mu.Unlock()
	now, err := d.list(ctx, c.lineage)
	if err != nil {
		return err
	}
	rivals := slices.DeleteFunc(slices.Clone(now.tags), func(t string) bool {
		return t == tag || t == headTag(c.lineage) || slices.Contains(c.known, t)
	})
	if len(rivals) == 0 {
		return d.client.PutManifest(ctx, headTag(c.lineage), c.manifest.raw)
	}
	return d.contend(ctx, c, now, rivals)
}

// contend moves the head with care, since something has happened since the copy was
// made.
func (d *Disk) contend(ctx context.Context, c claim, now listing, rivals []string) error {
	g := c.manifest.record.Generation
	wait := d.options.Contend
	for _, r := range rivals {
		if _, id, ok := strings.Cut(strings.TrimPrefix(r, lineagePrefix(c.lineage)+"gen-"), "-"); ok && id < g.ID {
			wait = 2 * d.options.Contend // both see each other: the smaller id goes first
		}
	}
	for range 4 {
		head, err := d.settled(ctx, c, wait)
		if err != nil {
			return err
		}
		switch {
		case head.id() == g.ID:
			return nil
		case head.id() == c.base:
		case c.rule == nil || now.resets != c.resets || head.record == nil || !c.rule(g, head.record.Generation):
			return fmt.Errorf("%w: the head is %s and no longer %s", disk.ErrConflict, orNone(head.id()), orNone(c.base))
		}
		if err := d.client.PutManifest(ctx, headTag(c.lineage), c.manifest.raw); err != nil {
			return err
		}
		// Whoever put it at the same moment reads it again, too.
		c.base, wait = g.ID, 0
		if head, err = d.head(ctx, c.lineage); err != nil || head.id() == g.ID {
			return err
		}
	}
	return fmt.Errorf("%w: the head does not come to rest", disk.ErrConflict)
}

const contendPoll = 100 * time.Millisecond

// settled reads the head, and waits for a while if it still is the claim's base: the
// rival may be about to move it.
func (d *Disk) settled(ctx context.Context, c claim, wait time.Duration) (*manifest, error) {
	for {
		head, err := d.head(ctx, c.lineage)
		if err != nil || head.id() != c.base || wait <= 0 {
			return head, err
		}
		pause := min(contendPoll, wait)
		wait -= pause
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// setHead moves the head on purpose, with a marker that tells jobs under way.
func (d *Disk) setHead(ctx context.Context, l disk.Lineage, now listing, to string) error {
	// Equal manifests would have one digest, and go when the other one is removed.
	note, err := marker(l, fmt.Sprintf("move %d of the head on purpose: to %s", now.resets+1, orNone(to)))
	if err != nil {
		return err
	}
	if err := d.client.PutManifest(ctx, resetTag(l, now.resets+1), note); err != nil {
		return err
	}
	raw, err := marker(l, "there is no head")
	if err != nil {
		return err
	}
	if to != "" {
		g, err := now.must(l, to)
		if err != nil {
			return err
		}
		m, err := d.generation(ctx, l, g)
		if err != nil {
			return err
		}
		raw = m.raw
	}
	if err := d.client.PutManifest(ctx, headTag(l), raw); err != nil {
		return err
	}
	// The highest number counts; a marker that cannot be removed does no harm.
	for _, t := range now.tags {
		if strings.HasPrefix(t, lineagePrefix(l)+"reset-") {
			_ = d.deleteTag(ctx, t)
		}
	}
	return nil
}

func orNone(id string) string {
	if id == "" {
		return "empty"
	}
	return id
}
