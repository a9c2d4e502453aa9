package referrers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Pace says how patiently a referrers tag is written. The zero value suits
// registries anywhere.
type Pace struct {
	// Settle is the least time after which a write counts as done; see
	// updateTag. Default 500 ms.
	Settle time.Duration
	// MaxSettle bounds the settling time, which grows with the registry's
	// latency. Default 10 s.
	MaxSettle time.Duration
	// Attempts bounds how often the tag is written. Default 60.
	Attempts int
}

func (p Pace) withDefaults() Pace {
	if p.Settle == 0 {
		p.Settle = 500 * time.Millisecond
	}
	if p.MaxSettle == 0 {
		p.MaxSettle = 10 * time.Second
	}
	if p.Attempts == 0 {
		p.Attempts = 60
	}
	return p
}

// errOverwritten is what a conditional write gives when another client was
// faster.
var errOverwritten = errors.New("another client has written meanwhile")

// slack is how many times a writer's own read-and-write time is granted to the
// others.
const slack = 8

// updateTag adds entries to the referrers tag of subject.
//
// Registries offer no lock and mostly ignore conditions on a write, so two
// clients that read the same index each write one that lacks the other's entry,
// and the later write wins, possibly after the earlier client has looked and
// found its entry there. A client that reads after our write keeps our entry;
// only one that has read before it can lose it, and it writes soon after. So:
// write, wait until such clients must be done, look again, and start over if the
// entry is gone. The wait is a multiple of our own time from read to write, which
// under contention is a fair measure of theirs.
func (r *Repository) updateTag(ctx context.Context, subject v1.Hash, entries []v1.Descriptor) error {
	var last error
	backoff := 20 * time.Millisecond
	for range r.pace.Attempts {
		start := time.Now() //nolint:forbidigo // a measured latency, not a date
		wrote, err := r.writeTag(ctx, subject, entries)
		took := time.Since(start)
		switch {
		case err == nil && !wrote:
			return nil // all were there, and had been for a settling time, or somebody else's care
		case err == nil:
			if err := sleep(ctx, min(max(r.pace.Settle, slack*took), r.pace.MaxSettle)); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errOverwritten):
			if err := sleep(ctx, rand.N(backoff)); err != nil {
				return err
			}
			backoff = min(2*backoff, 2*time.Second)
		default:
			return err
		}
		last = err
	}
	if last == nil {
		last = errOverwritten
	}
	return fmt.Errorf("giving up after writing tag %s %d times: %w", fallbackTag(subject), r.pace.Attempts, last)
}

// writeTag reads the index, adds what is missing, writes it and looks whether it
// is there. It reports whether it wrote.
func (r *Repository) writeTag(ctx context.Context, subject v1.Hash, entries []v1.Descriptor) (bool, error) {
	index, err := r.readIndex(ctx, subject)
	if err != nil {
		return false, err
	}
	missing, err := index.missing(entries)
	if err != nil || len(missing) == 0 {
		return false, err
	}
	body, err := index.with(missing)
	if err != nil {
		return false, err
	}
	if len(body) > maxManifest {
		return false, fmt.Errorf("tag %s would exceed %d bytes", fallbackTag(subject), maxManifest)
	}
	if _, err := r.putManifest(ctx, fallbackTag(subject), types.OCIImageIndex, body, index.etag); err != nil {
		if errors.Is(err, errOverwritten) {
			return false, err
		}
		return false, fmt.Errorf("writing tag %s: %w", fallbackTag(subject), err)
	}
	index, err = r.readIndex(ctx, subject)
	if err != nil {
		return false, err
	}
	if missing, err = index.missing(entries); err != nil {
		return false, err
	}
	if len(missing) > 0 {
		return false, errOverwritten
	}
	return true, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
