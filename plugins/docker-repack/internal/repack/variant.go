package repack

import (
	"slices"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// samePlatform reports whether two platforms are the same to engines, to which arm64
// is arm64/v8, and arm is arm/v7.
func samePlatform(a, b v1.Platform) bool {
	normal := func(p v1.Platform) string {
		return platforms.Format(platforms.Normalize(ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}))
	}
	return normal(a) == normal(b)
}

// match returns the index of the image for the platform of o: the one that says so
// in the same way if there is one, else one that is the same to engines; -1 if
// there is none.
func match[T any](o *original, all []T, image func(T) *original) int {
	for _, same := range []func(a, b v1.Platform) bool{v1.Platform.Equals, samePlatform} {
		if i := slices.IndexFunc(all, func(x T) bool { return same(image(x).platform(), o.platform()) }); i >= 0 {
			return i
		}
	}
	return -1
}
