package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/bundle"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/referrers"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// judge checks one bundle: signature first, then what was signed, read from the
// very bytes that the signature covers.
func (c *collection) judge(data []byte, name string) Entry {
	e := Entry{Digest: name}
	b, err := bundle.Parse(data)
	if err != nil {
		e.Problem = err.Error()
		return e
	}
	payloadType, payload, err := b.Verify(c.key)
	if err != nil {
		e.Problem = err.Error()
		return e
	}
	s, err := intoto.Parse(payloadType, payload)
	if err != nil {
		e.Problem = err.Error()
		return e
	}
	if !s.IsAbout(c.subject.String()) {
		e.Problem = "the statement is about another image"
		return e
	}
	e.Trusted, e.Type = true, s.PredicateType
	sum := sha256.Sum256(s.Predicate)
	e.sum = hex.EncodeToString(sum[:])
	if s.PredicateType == wire.PredicateCompatibility {
		if err := e.readRecord(s.Predicate, c.subject.String()); err != nil {
			e.Problem = err.Error()
		}
	}
	return e
}

func (e *Entry) readRecord(predicate []byte, subject string) error {
	r, err := record.Parse(predicate)
	if err != nil {
		return err
	}
	e.Status, e.Platform, e.Finished = r.Status, r.Platform, &r.Finished
	if r.Manifest != nil {
		e.Manifest = r.Manifest.ID
	}
	if r.Image.Manifest != subject {
		return errors.New("the record is about another image")
	}
	e.record = &r
	return nil
}

// complete reads what signed records name by digest, and marks those whose logs
// or SBOM are missing or have changed.
func (c *collection) complete(ctx context.Context) error {
	sboms := map[string]bool{}
	for _, e := range c.entries {
		if e.Trusted && e.Type == wire.PredicateSPDX {
			sboms[e.sum] = true
		}
	}
	for i := range c.entries {
		e := &c.entries[i]
		if e.record == nil {
			continue
		}
		problem, err := c.parts(ctx, *e.record, sboms)
		if err != nil {
			return err
		}
		if problem != nil {
			e.Problem = problem.Error()
		}
	}
	return nil
}

func (c *collection) parts(ctx context.Context, r record.Record, sboms map[string]bool) (problem, err error) {
	for _, s := range r.Suites {
		if problem, err = c.part(ctx, s.Log); problem != nil || err != nil {
			return problem, err
		}
	}
	if r.SBOM != nil && !sboms[r.SBOM.Digest["sha256"]] {
		return c.part(ctx, r.SBOM.Descriptor)
	}
	return nil, nil
}

// part reads one blob of a pack; its bytes are checked against the digest that
// the record names, whatever the pack's manifest says.
func (c *collection) part(ctx context.Context, d intoto.Descriptor) (problem, err error) {
	blob, ok := c.pack[d.Digest["sha256"]]
	if !ok {
		return fmt.Errorf("%s is not attached", d.Name), nil
	}
	data, err := c.source.Blob(ctx, blob)
	if err != nil {
		err = fmt.Errorf("%s: %w", d.Name, err)
		if errors.Is(err, referrers.ErrUnusable) {
			return err, nil
		}
		return nil, err
	}
	if size := d.Annotations["size"]; size != strconv.Itoa(len(data)) {
		return fmt.Errorf("%s has %d bytes, not %s", d.Name, len(data), size), nil
	}
	return nil, nil
}
