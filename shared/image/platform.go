package image

import (
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A PlatformImage is one image of a subject and the platform that it is for.
type PlatformImage struct {
	Platform   v1.Platform
	Descriptor v1.Descriptor
	Image      v1.Image
}

// IsAttestation reports whether d is one of BuildKit's attestation manifests, which
// stand in an index beside the images that they describe.
// See docs/attestations/attestation-storage.md in moby/buildkit.
func IsAttestation(d v1.Descriptor) bool {
	return d.Annotations["vnd.docker.reference.type"] == "attestation-manifest" ||
		(d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown")
}

// Platforms returns the images of the subject, in the order of the index, without
// attestation manifests. For a single image the platform is its config's.
func Platforms(s Subject) ([]PlatformImage, error) {
	if !s.IsIndex() {
		img, err := s.Image()
		if err != nil {
			return nil, err
		}
		p, err := configPlatform(img)
		if err != nil {
			return nil, fmt.Errorf("reading config of %s: %w", s.Reference, err)
		}
		return []PlatformImage{{p, s.Descriptor, img}}, nil
	}
	index, err := s.Index()
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading index %s: %w", s.Reference, err)
	}
	var images []PlatformImage
	for _, d := range manifest.Manifests {
		if IsAttestation(d) || !d.MediaType.IsImage() {
			continue
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			return nil, fmt.Errorf("reading manifest %s: %w", d.Digest, err)
		}
		var p v1.Platform
		if d.Platform != nil {
			p = *d.Platform
		} else if p, err = configPlatform(img); err != nil {
			return nil, fmt.Errorf("reading config of %s: %w", d.Digest, err)
		}
		images = append(images, PlatformImage{p, d, img})
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("%s is an index without images", s.Reference)
	}
	return images, nil
}

// Platform returns the one image of the subject that is for want, such as
// "linux/arm64"; with want "" the only image, or else the one for the fallback,
// usually "linux/" and the architecture that the program runs on.
func Platform(s Subject, want, fallback string) (PlatformImage, error) {
	images, err := Platforms(s)
	if err != nil {
		return PlatformImage{}, err
	}
	if want == "" {
		if len(images) == 1 {
			return images[0], nil
		}
		want = fallback
	}
	p, err := v1.ParsePlatform(want)
	if err != nil {
		return PlatformImage{}, fmt.Errorf("parsing platform %q: %w", want, err)
	}
	have := make([]string, len(images))
	for i, img := range images {
		if img.Platform.Satisfies(*p) {
			return img, nil
		}
		have[i] = img.Platform.String()
	}
	return PlatformImage{}, fault.Hint(
		fmt.Errorf("%s has no image for platform %s", s.Reference, want),
		"choose one of: %s", strings.Join(have, ", "))
}

func configPlatform(img v1.Image) (v1.Platform, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return v1.Platform{}, err
	}
	if p := config.Platform(); p != nil {
		return *p, nil
	}
	return v1.Platform{}, errors.New("the config names no platform")
}
