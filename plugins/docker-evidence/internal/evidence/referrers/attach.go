package referrers

import (
	"context"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// Attach pushes the artifacts and makes them referrers of subject, which should
// be in the repository. It returns their descriptors, in order, once the registry
// lists every one of them. Attaching the same again changes nothing.
//
// Blobs and manifests go first: until the last step nobody sees any of them, and
// after an error nobody ever does.
func (r *Repository) Attach(ctx context.Context, subject v1.Descriptor, artifacts []Artifact, p progress.Reporter) ([]v1.Descriptor, error) {
	out := make([]v1.Descriptor, len(artifacts))
	err := progress.Do(p, fmt.Sprintf("attaching %d artifacts to %s", len(artifacts), r.name), func(step progress.Step) error {
		return r.attach(ctx, subject, artifacts, out, step)
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("attaching to %s@%s: %w", r.name, subject.Digest, err)
	}
	return out, nil
}

func (r *Repository) attach(ctx context.Context, subject v1.Descriptor, artifacts []Artifact, out []v1.Descriptor, step progress.Step) error {
	manifests := make([][]byte, len(artifacts))
	var err error
	for i, a := range artifacts {
		if manifests[i], out[i], err = a.Manifest(subject); err != nil {
			return err
		}
	}
	known, hasAPI, err := r.listAPI(ctx, subject.Digest)
	if err != nil {
		return err
	}
	if hasAPI && len(subtract(out, known)) == 0 {
		step.Cached()
		return nil
	}
	if err := r.putBlob(ctx, Blob{MediaType: mediaTypeEmpty, Data: emptyConfig}); err != nil {
		return err
	}
	for _, a := range artifacts {
		for _, b := range a.Blobs {
			if err := r.putBlob(ctx, b); err != nil {
				return err
			}
			step.Bytes(b.Descriptor().Digest.Hex[:12], int64(len(b.Data)), int64(len(b.Data)))
		}
	}
	noted := hasAPI
	for i, m := range manifests {
		subjectNoted, err := r.putManifest(ctx, out[i].Digest.String(), out[i].MediaType, m, "")
		if err != nil {
			return fmt.Errorf("pushing manifest %s: %w", out[i].Digest, err)
		}
		noted = noted || subjectNoted
	}
	if noted {
		listed, err := r.awaitListed(ctx, subject.Digest, out)
		if err != nil || listed {
			return err
		}
		// It claims to have the API, but does not list: then the tag is what
		// other clients will read.
	}
	return r.updateTag(ctx, subject.Digest, out)
}

// awaitListed waits for the API to list all of want; some registries take a
// moment. It reports whether they came.
func (r *Repository) awaitListed(ctx context.Context, subject v1.Hash, want []v1.Descriptor) (bool, error) {
	for _, pause := range []time.Duration{0, r.pace.Settle / 4, r.pace.Settle, 4 * r.pace.Settle} {
		if err := sleep(ctx, pause); err != nil {
			return false, err
		}
		have, supported, err := r.listAPI(ctx, subject)
		if err != nil || !supported {
			return false, err
		}
		if len(subtract(want, have)) == 0 {
			return true, nil
		}
	}
	return false, nil
}
