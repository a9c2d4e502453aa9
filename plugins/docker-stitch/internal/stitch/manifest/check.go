package manifest

import (
	"errors"
	"fmt"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
)

// CheckPlatform returns an error unless s is a full platform, such as
// "linux/amd64".
func CheckPlatform(s string) error {
	p, err := platforms.Parse(s)
	if err != nil {
		return err
	}
	if full := platforms.Format(p); full != s {
		return fmt.Errorf("platform %q is not written in full: want %q", s, full)
	}
	return nil
}

// CheckTag returns an error unless s is a name to push an image to, such as
// "ghcr.io/org/app:1.2".
func CheckTag(s string) error {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return fmt.Errorf("tag %q: %w", s, err)
	}
	if _, digested := named.(reference.Digested); digested {
		return fmt.Errorf("tag %q: %w", s, errors.New("an image cannot be pushed to a digest"))
	}
	return nil
}

// CheckImage returns an error unless s is a reference that FROM takes.
func CheckImage(s string) error {
	if s == "scratch" {
		return nil
	}
	if _, err := reference.ParseNormalizedNamed(s); err != nil {
		return fmt.Errorf("base image %q: %w", s, err)
	}
	return nil
}
