// Package verify judges the evidence about one image with nothing but a public
// key and read access to where the evidence lies.
//
// Every answer is derived from what the key has signed. Annotations, lists and
// everything unsigned only say where to look.
package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/bundle"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/referrers"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// A Source is where evidence lies. What it returns has been checked against the
// descriptor's digest and size; if they do not fit, or nothing is there, the
// error is [referrers.ErrUnusable]. Any other error ends the verification: what
// could not be read may have been the newest record.
type Source interface {
	List(ctx context.Context, subject v1.Hash) ([]v1.Descriptor, error)
	Manifest(ctx context.Context, d v1.Descriptor) ([]byte, error)
	Blob(ctx context.Context, d v1.Descriptor) ([]byte, error)
}

// Options of [Verify].
type Options struct {
	Key *key.Public
	// Types are predicate types that must be there besides the record.
	Types []string
	// Status is the one that the record must have; "" for pass.
	Status record.Status
}

// A Report is what is known about one image.
type Report struct {
	Subject string   `json:"subject"` // digest of the image's manifest
	Valid   bool     `json:"valid"`
	Reasons []string `json:"reasons,omitempty"` // why not
	// Record is the newest compatibility record, if it is complete.
	Record  *record.Record `json:"record,omitempty"`
	Entries []Entry        `json:"entries"`
}

// An Entry is one bundle.
type Entry struct {
	// Digest is the referrer's, or the bundle's own for a file.
	Digest  string `json:"digest"`
	Trusted bool   `json:"trusted"`
	Problem string `json:"problem,omitempty"`
	// What follows is empty for a bundle that is not trusted.
	Type     string        `json:"predicateType,omitempty"`
	Status   record.Status `json:"status,omitempty"`
	Platform string        `json:"platform,omitempty"`
	Manifest string        `json:"manifestId,omitempty"`
	Finished *time.Time    `json:"finished,omitempty"`

	record *record.Record
	sum    string // sha256 of the predicate's bytes, hex
}

const maxBundles = 10_000

// Verify reads and judges everything in source that refers to subject. An error
// says that it could not be read; a negative answer is in the report.
func Verify(ctx context.Context, source Source, subject v1.Hash, opts Options) (Report, error) {
	c := collection{source: source, subject: subject, key: opts.Key, pack: map[string]v1.Descriptor{}}
	list, err := source.List(ctx, subject)
	if err != nil {
		return Report{}, err
	}
	for _, d := range list {
		if err := c.referrer(ctx, d); err != nil {
			return Report{}, err
		}
	}
	if err := c.complete(ctx); err != nil {
		return Report{}, err
	}
	return c.report(opts), nil
}

// VerifyFiles judges bundles that lie in files, by name. What a record only names
// by digest, its logs, is not there to be checked.
func VerifyFiles(files map[string][]byte, subject v1.Hash, opts Options) Report {
	c := collection{subject: subject, key: opts.Key}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		c.entries = append(c.entries, c.judge(files[name], name))
	}
	return c.report(opts)
}

type collection struct {
	source  Source
	subject v1.Hash
	key     *key.Public
	entries []Entry
	pack    map[string]v1.Descriptor // blobs of packs, by hex digest
}

// referrer reads one artifact of the list, if it is evidence.
func (c *collection) referrer(ctx context.Context, d v1.Descriptor) error {
	raw, err := c.source.Manifest(ctx, d)
	if err != nil {
		return c.unread(ctx, d, err)
	}
	var m struct {
		ArtifactType string          `json:"artifactType"`
		Layers       []v1.Descriptor `json:"layers"`
		Subject      *v1.Descriptor  `json:"subject"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		c.entries = append(c.entries, Entry{Digest: d.Digest.String(), Problem: fmt.Sprintf("parsing its manifest: %v", err)})
		return nil
	}
	if m.Subject == nil || m.Subject.Digest != c.subject {
		c.entries = append(c.entries, Entry{Digest: d.Digest.String(), Problem: "its manifest is about another image"})
		return nil
	}
	if m.ArtifactType == wire.ArtifactEvidencePack {
		for _, l := range m.Layers {
			c.pack[l.Digest.Hex] = l
		}
		return nil
	}
	if len(m.Layers) != 1 || string(m.Layers[0].MediaType) != bundle.MediaType {
		return nil // somebody else's artifact
	}
	if len(c.entries) >= maxBundles {
		return fmt.Errorf("more than %d bundles refer to %s", maxBundles, c.subject)
	}
	data, err := c.source.Blob(ctx, m.Layers[0])
	if err != nil {
		return c.unread(ctx, d, err)
	}
	c.entries = append(c.entries, c.judge(data, d.Digest.String()))
	return nil
}

// unread notes an artifact that is not what the list says, and passes any other
// error on.
func (c *collection) unread(ctx context.Context, d v1.Descriptor, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !errors.Is(err, referrers.ErrUnusable):
		return err
	}
	c.entries = append(c.entries, Entry{Digest: d.Digest.String(), Problem: err.Error()})
	return nil
}

// report sums up: the newest record that the key has signed decides, also if its
// logs are gone. Otherwise whoever can delete them could bring an older record
// back.
func (c *collection) report(opts Options) Report {
	r := Report{Subject: c.subject.String(), Entries: c.entries}
	if r.Entries == nil {
		r.Entries = []Entry{}
	}
	want := opts.Status
	if want == "" {
		want = record.Pass
	}
	have := map[string]bool{}
	var newest *Entry
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.Trusted && e.Problem == "" {
			have[e.Type] = true
		}
		if e.record != nil && (newest == nil || e.record.Outweighs(*newest.record)) {
			newest = e
		}
	}
	if newest != nil && newest.Problem == "" {
		r.Record = newest.record
	}
	switch {
	case newest == nil:
		r.Reasons = append(r.Reasons, "no valid compatibility record")
	case r.Record == nil:
		r.Reasons = append(r.Reasons, "the newest compatibility record is not complete: "+newest.Problem)
	case r.Record.Status != want:
		r.Reasons = append(r.Reasons, fmt.Sprintf("the record says %s, not %s", r.Record.Status, want))
	}
	for _, t := range opts.Types {
		if !have[t] {
			r.Reasons = append(r.Reasons, fmt.Sprintf("no valid statement of type %s", t))
		}
	}
	r.Valid = len(r.Reasons) == 0
	return r
}

// Err returns nil for a valid report, else why it is not.
func (r Report) Err() error {
	var errs []error
	for _, reason := range r.Reasons {
		errs = append(errs, fmt.Errorf("%s: %s", r.Subject, reason))
	}
	return errors.Join(errs...)
}
