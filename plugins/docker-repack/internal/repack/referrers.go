package repack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dockerfactory/dockerfactory/shared/image"
)

// LeftBehind tells what is attached to the source in its registry, such as
// signatures, and does not apply to the result because it names the source's
// digests: one sentence for each image that has something. Of a layout, and where
// the registry does not say, there is nothing to tell.
func LeftBehind(ctx context.Context, source image.Subject, r *Result, o image.Options) []string {
	if source.Reference.Kind != image.Registry {
		return nil
	}
	digests := []string{r.SourceDigest}
	for _, i := range r.Images {
		digests = append(digests, i.SourceDigest)
	}
	repo := source.Reference.Name.Context()
	var out []string
	for i, d := range digests {
		if slices.Contains(digests[:i], d) {
			continue
		}
		count := map[string]int{}
		if index, err := remote.Referrers(repo.Digest(d), o.Remote(ctx)...); err == nil {
			if manifest, err := index.IndexManifest(); err == nil {
				for _, m := range manifest.Manifests {
					kind := m.ArtifactType
					if kind == "" {
						kind = string(m.MediaType)
					}
					count[kind]++
				}
			}
		}
		// Where cosign put things before registries knew referrers.
		for ending, kind := range map[string]string{".sig": "cosign signature tag", ".att": "cosign attestation tag", ".sbom": "cosign SBOM tag"} {
			if _, err := remote.Head(repo.Tag(strings.Replace(d, ":", "-", 1)+ending), o.Remote(ctx)...); err == nil {
				count[kind]++
			}
		}
		if len(count) == 0 {
			continue
		}
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(count)) {
			kinds = append(kinds, fmt.Sprintf("%d × %s", count[kind], kind))
		}
		out = append(out, fmt.Sprintf("attached to %s and not to the result: %s", d, strings.Join(kinds, ", ")))
	}
	return out
}
