package sticky

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/daemon"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A Verdict is what `disk verify --format json` prints.
type Verdict struct {
	Disk       string   `json:"disk"`
	Key        string   `json:"key"`
	Ref        string   `json:"ref"`
	Platform   string   `json:"platform"`
	Generation string   `json:"generation"`
	Sound      bool     `json:"sound"`
	Findings   []string `json:"findings"` // what is wrong; never null
	daemon.Holdings
	Bad    bool   `json:"bad"`    // marked, now or before, and never cloned again
	Marked bool   `json:"marked"` // now
	Head   string `json:"head"`   // after that
}

// VerifyDisk checks a generation, the head if none is named, and with mark makes
// sure that one which is not sound is never cloned again.
func (h Host) VerifyDisk(ctx context.Context, o Choice, mark bool, r progress.Reporter) (*Verdict, error) {
	c, err := h.choose(ctx, o)
	if err != nil {
		return nil, err
	}
	defer c.shelf.Close()
	if c.record == nil {
		if c.record = c.find(c.head()); c.record == nil {
			return nil, fault.Hint(fmt.Errorf("disk %s has no head under key %s", o.Disk, c.lineage.Name()), "name a generation: docker stickybuilder disk inspect --key %s lists them", c.lineage.Name())
		}
	}
	v := &Verdict{
		Disk: o.Disk, Key: c.lineage.Key, Ref: c.lineage.Ref, Platform: c.lineage.Platform, Generation: c.record.ID,
		Findings: []string{}, Bad: c.record.Bad != nil, Head: c.head(),
	}
	var found error
	if err := progress.Do(r, "verifying "+c.record.ID, func(progress.Step) error {
		found, err = c.verify(ctx, v)
		return err
	}); err != nil {
		return nil, err
	}
	for line := range strings.Lines(errorText(found)) {
		v.Findings = append(v.Findings, strings.TrimSpace(line))
	}
	v.Sound = found == nil
	if v.Sound || v.Bad || !mark {
		return v, nil
	}
	if v.Head, err = c.shelf.Mark(ctx, c.lineage, c.record.ID, v.Findings[0]); err != nil {
		return nil, err
	}
	v.Bad, v.Marked = true, true
	return v, nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// verify separates what is wrong with the generation from why it cannot be told.
func (c *chosen) verify(ctx context.Context, v *Verdict) (found, err error) {
	root, lock, err := c.shelf.Hold(ctx, c.lineage, c.record.ID)
	if errors.As(err, new(*disk.Spoilt)) && ctx.Err() == nil {
		return err, nil
	}
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	found = daemon.Check(ctx, root)
	if found == nil {
		// Not on databases that are damaged: it trusts what they say.
		v.Holdings, found = daemon.CrossCheck(ctx, root)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if daemon.CannotTell(found) {
		return nil, fmt.Errorf("verifying %s: %w", c.record.ID, found)
	}
	return found, nil
}
