package referrers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Pace says how patiently a referrers tag is written. The zero value suits
// registries anywhere. Clients that write to the same registry at once should
// have the same pace.
type Pace struct {
	// Settle is the least time after which a write counts as done; see
	// updateTag. Default 1 s.
	Settle time.Duration
	// Attempts bounds how often the tag is written. Default 60.
	Attempts int
}

func (p Pace) withDefaults() Pace {
	if p.Settle == 0 {
		p.Settle = time.Second
	}
	if p.Attempts == 0 {
		p.Attempts = 60
	}
	return p
}

// errOverwritten is what a write gives that came too late, or was too slow to be
// safe.
var errOverwritten = errors.New("another client has written meanwhile")

// updateTag adds entries to the referrers tag of subject.
//
// Registries offer no lock and mostly ignore conditions on a write, so two
// clients that read the same index each write one that lacks the other's entry,
// and the later write wins, possibly after the earlier client has looked and
// found its entry there.
//
// A client that reads after our write keeps our entry; only one that has read
// before it can lose it. So no client takes longer from reading to having written
// than half the settling time: a write that is slower is given up and begun again
// with a new reading. And each waits, after its write, for the settling time, so
// that whoever had read before is done, looks again, and starts over if its entry
// is gone. Where the registry is too slow for that, both times double.
func (r *Repository) updateTag(ctx context.Context, subject v1.Hash, entries []v1.Descriptor) error {
	settle, backoff := r.pace.Settle, r.pace.Settle/20
	settled := true // nothing of ours was written since the last wait
	gone := map[v1.Hash]bool{}
	for range r.pace.Attempts {
		start := time.Now() //nolint:forbidigo // a measured latency, not a date
		wrote, err := r.writeTag(ctx, subject, entries, gone, settle/2)
		switch {
		case err == nil && !wrote && settled:
			return nil
		case err == nil:
			if err := sleep(ctx, settle); err != nil {
				return err
			}
			settled = true
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case namesMissing(err):
			more, lookErr := r.addGone(ctx, subject, gone)
			if lookErr != nil || !more {
				return errors.Join(err, lookErr)
			}
			continue
		case !errors.Is(err, errOverwritten):
			return err
		}
		// What was overwritten may come back by a client that had read it, and go
		// again: being there is not enough until the settling time is over.
		settled = false
		if time.Since(start) > settle/2 {
			settle = min(2*settle, 16*r.pace.Settle)
		}
		if err := sleep(ctx, rand.N(backoff)); err != nil {
			return err
		}
		backoff = min(2*backoff, r.pace.Settle)
	}
	return fmt.Errorf("giving up after writing tag %s %d times: %w", fallbackTag(subject), r.pace.Attempts, errOverwritten)
}

// writeTag reads the index, adds what is missing, leaves out what is gone, writes
// it within limit, and looks whether it is there. It reports whether it had to
// write.
func (r *Repository) writeTag(ctx context.Context, subject v1.Hash, entries []v1.Descriptor, gone map[v1.Hash]bool, limit time.Duration) (bool, error) {
	limited, cancel := context.WithTimeoutCause(ctx, limit, errOverwritten)
	defer cancel()
	index, err := r.readIndex(limited, subject)
	if err != nil {
		return false, tooSlow(limited, ctx, err)
	}
	missing, err := index.missing(entries)
	if err != nil || len(missing) == 0 {
		return false, err
	}
	if err := index.drop(gone); err != nil {
		return false, err
	}
	body, err := index.with(missing)
	if err != nil {
		return false, err
	}
	if len(body) > maxManifest {
		return false, fmt.Errorf("tag %s would exceed %d bytes", fallbackTag(subject), maxManifest)
	}
	if _, err := r.putManifest(limited, fallbackTag(subject), types.OCIImageIndex, body, index.etag); err != nil {
		return false, fmt.Errorf("writing tag %s: %w", fallbackTag(subject), tooSlow(limited, ctx, err))
	}
	if index, err = r.readIndex(ctx, subject); err != nil {
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

// namesMissing reports whether a registry has refused an index because it lists
// manifests that are not there. The referrers tag comes to that when a manifest is
// deleted and its entry stays, and nothing could be attached any more.
func namesMissing(err error) bool {
	var refused *transport.Error
	return errors.As(err, &refused) && slices.ContainsFunc(refused.Errors, func(d transport.Diagnostic) bool {
		switch d.Code { // registries differ
		case transport.ManifestBlobUnknownErrorCode, transport.BlobUnknownErrorCode, transport.ManifestUnknownErrorCode:
			return true
		}
		return false
	})
}

// addGone adds the entries of the tag whose manifests the registry does not have
// to gone, and reports whether there are any that were not known.
func (r *Repository) addGone(ctx context.Context, subject v1.Hash, gone map[v1.Hash]bool) (bool, error) {
	index, err := r.readIndex(ctx, subject)
	if err != nil {
		return false, err
	}
	entries, err := index.descriptors()
	if err != nil {
		return false, err
	}
	before := len(gone)
	for _, d := range entries {
		if _, _, err := r.getManifest(ctx, d.Digest.String(), d.MediaType); errors.Is(err, errNotFound) {
			gone[d.Digest] = true
		} else if err != nil && !errors.Is(err, ErrUnusable) {
			return false, err
		}
	}
	return len(gone) > before, nil
}

// tooSlow turns an error that came of the limit, and not of the whole work's end,
// into errOverwritten.
func tooSlow(limited, ctx context.Context, err error) error {
	if limited.Err() != nil && ctx.Err() == nil {
		return errOverwritten
	}
	return err
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
