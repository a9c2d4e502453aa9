// Package evidence tests an image and makes a record of it.
//
// In five lines: an image, fixed by digest, is run through suites and catalogued
// (smoke, sbom, tree); what came of it is one record (record); the record, the SBOM and
// the test results become signed statements about the digest (intoto, dsse,
// bundle, key); they are attached to the image as referrers (referrers); and
// whoever has the public key can judge them (verify).
package evidence

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/referrers"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/sbom"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/suite"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/tree"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Options of [Run].
type Options struct {
	Subject  image.Subject
	Platform image.PlatformImage // of the subject, the one that is tested

	Suites []*suite.Suite
	Runner smoke.Runner
	Lookup func(name string) (string, bool) // the caller's environment
	SBOM   bool

	ManifestID string       // "" for what the image's label says
	Base       *record.Base // nil for what the image or its provenance says
	Notes      string

	RecordDir string                // "" writes no files
	Key       *key.Private          // nil signs nothing
	Attach    *referrers.Repository // nil attaches nothing; needs Key

	Now      func() time.Time // required
	Progress progress.Reporter
}

// A Result is what came of a run.
type Result struct {
	Subject   string        `json:"subject"` // "repository@sha256:…", the platform's manifest
	Record    record.Record `json:"record"`
	File      string        `json:"file,omitempty"` // of the record
	Referrers []Attached    `json:"referrers,omitempty"`
	Trouble   error         `json:"-"` // why the record's status is error
}

// Attached is one referrer.
type Attached struct {
	Digest string `json:"digest"`
	Type   string `json:"type"` // predicate type, or artifact type
}

// Run tests the image, lists its contents, and writes, signs and attaches what it
// found. Failing tests are a result, not an error. After an error nothing has
// been written, except that a record whose attaching failed stays in its
// directory, whole.
func Run(ctx context.Context, opts Options) (Result, error) {
	if opts.Progress == nil {
		opts.Progress = progress.Discard
	}
	started := opts.Now()
	rec, err := describe(opts)
	if err != nil {
		return Result{}, err
	}
	found, err := examine(ctx, opts, started)
	if err != nil {
		return Result{}, err
	}
	tests, doc := found.tests, found.sbom
	fill(&rec, tests)
	rec.Image.Tree = found.tree
	rec.Started, rec.Finished = seconds(started), seconds(opts.Now())
	if doc != nil {
		rec.SBOM = &record.SBOM{Descriptor: describeFile("sbom.spdx.json", sbom.MediaType, doc.JSON), Format: sbom.Format, Packages: doc.Packages}
	}

	out := Result{Subject: canonical(opts), Record: rec, Trouble: tests.Trouble}
	set, err := assemble(rec, tests, doc, opts)
	if err != nil {
		return Result{}, err
	}
	if opts.RecordDir != "" {
		if out.File, err = rec.Save(ctx, opts.RecordDir, set.files); err != nil {
			return Result{}, err
		}
	}
	if opts.Attach != nil {
		attached, err := opts.Attach.Attach(ctx, opts.Platform.Descriptor, set.artifacts, opts.Progress)
		if err != nil {
			return Result{}, err
		}
		for i, d := range attached {
			out.Referrers = append(out.Referrers, Attached{d.Digest.String(), set.types[i]})
		}
	}
	return out, nil
}

// findings are what is found out about an image.
type findings struct {
	tests smoke.Result
	sbom  *sbom.Document // nil if none was asked for
	tree  string         // digest
}

// examine runs the tests, the cataloguers and the reading of the tree side by
// side: none waits for another.
func examine(ctx context.Context, opts Options, created time.Time) (findings, error) {
	var f findings
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		f.tests, err = smoke.Run(ctx, opts.Runner, smoke.Options{Suites: opts.Suites, Lookup: opts.Lookup, Now: opts.Now, Progress: opts.Progress})
		return err
	})
	g.Go(func() error {
		return progress.Do(opts.Progress, "computing the tree digest", func(step progress.Step) (err error) {
			f.tree, err = tree.Digest(ctx, opts.Platform.Image, step)
			return err
		})
	})
	if opts.SBOM {
		g.Go(func() error {
			return progress.Do(opts.Progress, "listing packages", func(progress.Step) error {
				d, err := sbom.Generate(ctx, opts.Platform.Image, sbom.Options{Reference: imageName(opts) + "@" + opts.Platform.Descriptor.Digest.String(), Created: created})
				f.sbom = &d
				return err
			})
		})
	}
	err := g.Wait()
	return f, err
}

func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// canonical is the platform's image by digest.
func canonical(opts Options) string {
	return repository(opts) + "@" + opts.Platform.Descriptor.Digest.String()
}

func repository(opts Options) string {
	ref := opts.Subject.Reference
	if ref.Kind == image.Registry {
		return ref.Name.Context().Name()
	}
	return "oci://" + ref.Dir
}

func hashes(hs []v1.Hash) []string {
	out := make([]string, len(hs))
	for i, h := range hs {
		out[i] = h.String()
	}
	return out
}

func describeErr(err error, opts Options) error {
	return fmt.Errorf("describing %s: %w", canonical(opts), err)
}
