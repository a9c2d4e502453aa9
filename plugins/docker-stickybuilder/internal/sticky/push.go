package sticky

import (
	"context"
	"errors"
	"fmt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A Pushed is what `disk push --format json` prints a list of.
type Pushed struct {
	ID       string       `json:"id"`
	Lineage  disk.Lineage `json:"lineage"`
	Decision Decision     `json:"decision"` // Committed, Conflict or, after an error, Pending
}

// PushDisk uploads what commits could not. The error that stopped it comes with what
// was done by then.
func (h Host) PushDisk(ctx context.Context, spec string, r progress.Reporter) ([]Pushed, error) {
	out := []Pushed{}
	var step progress.Step
	opened, err := h.openDisk(spec, 0, func(done, total int64) { step.Bytes("uploaded", done, total) })
	if err != nil {
		return out, err
	}
	defer opened.Close()
	home, ok := opened.(Remote)
	if !ok {
		return out, fault.Hint(fmt.Errorf("uploading what is pending: disk %s has its home on this machine", spec), "name the disk: --disk oci:REGISTRY/REPO")
	}
	all, err := home.Pending()
	if err != nil {
		return out, err
	}
	for _, g := range all {
		p := Pushed{ID: g.ID, Lineage: g.Lineage, Decision: Committed}
		err := progress.Do(r, "uploading "+g.ID, func(s progress.Step) error {
			step = s
			err := home.Push(ctx, g.ID)
			if errors.Is(err, disk.ErrConflict) {
				p.Decision, err = Conflict, nil
			}
			return err
		})
		if err != nil {
			p.Decision = Pending
			return append(out, p), err
		}
		out = append(out, p)
	}
	return out, nil
}
