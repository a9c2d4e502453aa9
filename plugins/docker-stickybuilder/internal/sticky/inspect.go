package sticky

import (
	"context"
	"slices"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
)

// A Listed is one lineage of a disk, and what `disk ls --format json` prints a list
// of. A lineage that nothing was committed to yet is there if it has copies.
type Listed struct {
	Disk        string      `json:"disk"`
	Key         string      `json:"key"`
	Ref         string      `json:"ref"`
	Platform    string      `json:"platform"`
	Head        string      `json:"head"` // "" if there is none
	Committed   time.Time   `json:"committed,omitzero"`
	Generations int         `json:"generations"`
	Bad         int         `json:"bad"`         // of the generations
	Bytes       int64       `json:"bytes"`       // of all generations; what they share counts in each
	WorkSeconds float64     `json:"workSeconds"` // computed by the head's own job
	Copies      []disk.Copy `json:"copies"`      // never null
}

// A Filter picks lineages. What is empty picks all.
type Filter struct {
	Key      string
	Ref      *string
	Platform string
}

func (f Filter) has(l disk.Lineage) bool {
	return (f.Key == "" || f.Key == l.Key) && (f.Ref == nil || *f.Ref == l.Ref) && (f.Platform == "" || f.Platform == l.Platform)
}

// ListDisk lists a disk's lineages.
func (h Host) ListDisk(ctx context.Context, spec string, f Filter) ([]Listed, error) {
	shelf, err := h.OpenShelf(spec)
	if err != nil {
		return nil, err
	}
	defer shelf.Close()
	lineages, err := shelf.Lineages(ctx)
	if err != nil {
		return nil, err
	}
	copies, err := shelf.Copies(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range copies {
		if !slices.Contains(lineages, c.Lineage) {
			lineages = append(lineages, c.Lineage)
		}
	}
	out := []Listed{}
	for _, l := range lineages {
		if !f.has(l) {
			continue
		}
		one := Listed{Disk: spec, Key: l.Key, Ref: l.Ref, Platform: l.Platform, Copies: []disk.Copy{}}
		if err := one.count(ctx, shelf, l); err != nil {
			return nil, err
		}
		for _, c := range copies {
			if c.Lineage == l {
				one.Copies = append(one.Copies, c)
			}
		}
		out = append(out, one)
	}
	return out, nil
}

func (one *Listed) count(ctx context.Context, shelf Shelf, l disk.Lineage) error {
	records, err := shelf.Records(ctx, l)
	if err != nil {
		return err
	}
	one.Generations = len(records)
	for _, r := range records {
		if r.Head {
			one.Head, one.Committed, one.WorkSeconds = r.ID, r.Created, r.Work.Seconds()
		}
		if r.Bad != nil {
			one.Bad++
		}
		n, err := shelf.Measure(ctx, l, r.ID)
		if err != nil {
			return err
		}
		one.Bytes += n
	}
	return nil
}

// An Inspected is what `disk inspect --format json` prints: one lineage or, if
// Generation is set, one generation with its ancestors.
type Inspected struct {
	Disk        string      `json:"disk"`
	Key         string      `json:"key"`
	Ref         string      `json:"ref"`
	Platform    string      `json:"platform"`
	Head        string      `json:"head"`
	Generations []Sized     `json:"generations"` // the newest first; of a generation, itself and then its ancestors
	Copies      []disk.Copy `json:"copies"`      // of the lineage, or of the generation
}

// Sized is a generation with its size.
type Sized struct {
	disk.Record
	Bytes int64 `json:"bytes"` // what it shares with others counts too
}

// InspectDisk describes one lineage or generation.
func (h Host) InspectDisk(ctx context.Context, o Choice) (*Inspected, error) {
	c, err := h.choose(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.shelf.Close()
	out := &Inspected{Disk: o.Disk, Key: c.lineage.Key, Ref: c.lineage.Ref, Platform: c.lineage.Platform, Head: c.head(), Copies: []disk.Copy{}}
	out.Generations, err = c.sized(ctx)
	if err != nil {
		return nil, err
	}
	copies, err := c.shelf.Copies(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range copies {
		if w.Lineage == c.lineage && (c.record == nil || w.Parent == c.record.ID) {
			out.Copies = append(out.Copies, w)
		}
	}
	return out, nil
}

func (c *chosen) sized(ctx context.Context) ([]Sized, error) {
	records := slices.Clone(c.records)
	slices.Reverse(records)
	if c.record != nil {
		records = nil
		// Only ever to a smaller id: a damaged description must not lead in circles.
		for r := c.record; r != nil; r = c.find(r.Parent) {
			records = append(records, *r)
			if r.Parent >= r.ID {
				break
			}
		}
	}
	out := make([]Sized, 0, len(records))
	for _, r := range records {
		n, err := c.shelf.Measure(ctx, c.lineage, r.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, Sized{r, n})
	}
	return out, nil
}

// Lineages lists a disk's lineages by name alone, without looking into them.
func (h Host) Lineages(ctx context.Context, spec string) ([]disk.Lineage, error) {
	shelf, err := h.OpenShelf(spec)
	if err != nil {
		return nil, err
	}
	defer shelf.Close()
	return shelf.Lineages(ctx)
}

// ListGenerations lists the generations of several lineages.
func (h Host) ListGenerations(ctx context.Context, spec string, f Filter) ([]disk.Record, error) {
	shelf, err := h.OpenShelf(spec)
	if err != nil {
		return nil, err
	}
	defer shelf.Close()
	lineages, err := shelf.Lineages(ctx)
	if err != nil {
		return nil, err
	}
	var out []disk.Record
	for _, l := range lineages {
		if !f.has(l) {
			continue
		}
		records, err := shelf.Records(ctx, l)
		if err != nil {
			return nil, err
		}
		out = append(out, records...)
	}
	return out, nil
}
