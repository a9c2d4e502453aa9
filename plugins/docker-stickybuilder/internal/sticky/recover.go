package sticky

import (
	"context"
	"errors"
	"fmt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A Recovered is what Recover did.
type Recovered struct {
	Reports  []*Report // of the builders that it ended; never null
	Released []string  // directories of pools that it unmounted
}

// Recover ends all builders whose supervisors have ended, and unmounts what commands that
// were killed have left mounted. env is the present CI step's file of variables, "" if
// there is none. An error leaves out no builder but the one that it is about.
func (h Host) Recover(ctx context.Context, env string, r progress.Reporter) (*Recovered, error) {
	out := &Recovered{Reports: []*Report{}}
	all, err := h.List()
	if err != nil {
		return out, err
	}
	var errs []error
	for _, s := range all {
		if s.State != StateDead && s.State != StateEnded {
			continue
		}
		report, err := h.Down(ctx, DownOptions{Name: s.Name, Policy: history.Auto, OnlyDead: true, EnvFile: env}, r)
		errs = append(errs, err)
		if report != nil && report.Decision != Idle {
			out.Reports = append(out.Reports, report)
		}
	}
	if h.IsRoot {
		out.Released, err = dirpool.ReleaseIdle()
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

// deadOnes tells the user of builders, but for the one of that name, that recover would
// end. What cannot be read is none.
func (h Host) deadOnes(but string) (notes []string) {
	all, err := h.List()
	if err != nil {
		return nil
	}
	for _, s := range all {
		switch {
		case s.Name == but || s.State != StateDead:
		case s.Orphan:
			notes = append(notes, fmt.Sprintf("the supervisor of builder %s died, and its buildkitd runs on: docker stickybuilder recover ends it", s.Name))
		default:
			notes = append(notes, fmt.Sprintf("the supervisor of builder %s died: docker stickybuilder recover cleans up after it", s.Name))
		}
	}
	return notes
}
