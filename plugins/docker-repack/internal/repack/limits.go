package repack

import (
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// limits are what a destination can not do, or would rather not.
type limits struct {
	// platform is the only one that the place can hold; nil if there is no limit.
	platform *v1.Platform
	// compression is what is used if none is asked for; "" is the usual one. With
	// only, any other is refused.
	compression string
	only        bool
	// firstOnly says that some programs read the first image alone.
	firstOnly bool
}

// best returns of several images the one that an engine would choose that holds one
// platform: an index may have variants of it, linux/arm/v5 to v7.
func (l limits) best(chosen []choice, asked []image.PlatformPattern) []choice {
	if l.platform == nil || len(chosen) < 2 {
		return chosen
	}
	want := ocispec.Platform{OS: l.platform.OS, Architecture: l.platform.Architecture}
	if len(asked) == 1 && asked[0].Exact() {
		if p, err := platforms.Parse(string(asked[0])); err == nil {
			want = p
		}
	}
	order := platforms.Only(want)
	at := func(c choice) ocispec.Platform {
		p := c.original.platform()
		if c.descriptor.Platform != nil {
			p = *c.descriptor.Platform
		}
		return platforms.Normalize(ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant})
	}
	best := chosen[0]
	for _, c := range chosen[1:] {
		if order.Less(at(c), at(best)) {
			best = c
		}
	}
	return []choice{best}
}

func limitsOf(dst Destination) limits {
	if l, ok := dst.(interface{ limits() limits }); ok {
		return l.limits()
	}
	return limits{}
}

// apply fits the options to a destination's limits, or says why it cannot be done.
func (l limits) apply(o *Options, index bool) error {
	if o.Compression == "" {
		o.Compression = l.compression
	}
	if l.only && o.Compression != l.compression {
		return fault.Hint(fmt.Errorf("the destination does not read %s", o.Compression), "choose another: --compression %s", l.compression)
	}
	if l.platform == nil || !index {
		return nil
	}
	only := image.PlatformPattern(strings.ToLower(l.platform.String()))
	switch len(o.Platforms) {
	case 0:
		o.Platforms = []image.PlatformPattern{only}
		return nil
	case 1:
		if o.Platforms[0].Exact() {
			return nil
		}
	}
	return fault.Hint(fmt.Errorf("the destination holds images of one platform only"), "choose it: --platform %s", only)
}
