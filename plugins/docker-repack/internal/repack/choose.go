package repack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
)

// A choice is an image of an index that the options ask for.
type choice struct {
	*original
	platform string // as the index has it
}

// choose opens the images below an index that the options ask for, each once; an
// error if there are none. What is no image is remembered as an artifact.
func (r *run) choose(ctx context.Context, root *node) ([]choice, error) {
	c := &chooser{run: r, seen: map[v1.Hash]bool{}}
	if err := c.walk(ctx, root); err != nil {
		return nil, err
	}
	if len(c.chosen) == 0 {
		if c.windows != nil {
			return nil, c.windows
		}
		return nil, noPlatform(c.have)
	}
	return c.chosen, nil
}

type chooser struct {
	*run
	seen   map[v1.Hash]bool
	chosen []choice
	have   []v1.Platform
	// windows is what is wrong with the first image for Windows, if that is no reason
	// to stop: nobody asked for it.
	windows error
}

func (c *chooser) walk(ctx context.Context, n *node) error {
	for _, child := range n.manifest.Manifests {
		if image.IsAttestation(child) || c.seen[child.Digest] {
			continue
		}
		if nested := n.nested[child.Digest]; nested != nil {
			if err := c.walk(ctx, nested); err != nil {
				return err
			}
			continue
		}
		if !child.MediaType.IsImage() {
			c.seen[child.Digest] = true
			c.warn("%s, a %q in the index, is no image and was left out", child.Digest, child.MediaType)
			continue
		}
		if child.Platform != nil && !c.wants(*child.Platform) {
			c.have = append(c.have, *child.Platform)
			continue
		}
		c.seen[child.Digest] = true // under a platform that is asked for
		if err := c.add(ctx, child); err != nil {
			return err
		}
	}
	return nil
}

func (c *chooser) add(ctx context.Context, child v1.Descriptor) error {
	o, err := c.open(ctx, child)
	switch {
	case errors.Is(err, errArtifact):
		if len(c.opts.Platforms) == 0 {
			c.keep(child.Digest)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		c.absent(child, child.Digest)
		return nil
	case errors.Is(err, errWindows) && len(c.opts.Platforms) == 0:
		c.windows = cmp.Or(c.windows, err)
		return c.pass(child, o)
	case err != nil:
		return err
	}
	p := o.platform()
	if child.Platform != nil {
		p = *child.Platform
	}
	if l, missing := o.missing(); missing {
		c.absent(child, l.Digest)
		return nil
	}
	c.have = append(c.have, p)
	if c.wants(p) {
		c.chosen = append(c.chosen, choice{o, platformText(p)})
	}
	return nil
}

// pass notes that an image stays as it is.
func (c *chooser) pass(child v1.Descriptor, o *original) error {
	if l, missing := o.missing(); missing {
		c.absent(child, l.Digest)
		return nil
	}
	if child.Platform == nil {
		p := o.platform()
		child.Platform = &p
	}
	c.passed = append(c.passed, child)
	c.warn("%s stays as it is: repacking is for root filesystems of Linux", platformText(*child.Platform))
	return nil
}

func (c *chooser) keep(h v1.Hash) {
	if c.artifacts == nil {
		c.artifacts = map[v1.Hash]bool{}
	}
	c.artifacts[h] = true
}

// absent tells of an image that the index lists and the source does not have.
func (c *chooser) absent(child v1.Descriptor, what v1.Hash) {
	platform := child.Digest.String()
	if child.Platform != nil {
		platform = platformText(*child.Platform)
	}
	c.warn("%s is listed in the index, but not all there, and was left out: the source lacks %s", platform, what)
}

func noPlatform(have []v1.Platform) error {
	if len(have) == 0 {
		return fault.Hint(errors.New("the source is an index without images"), "check that the source is whole, and that it is an image and no artifact")
	}
	names := make([]string, len(have))
	for i, p := range have {
		names[i] = platformText(p)
	}
	return fault.Hint(fmt.Errorf("the source has no image for the chosen platform"), "it has: %s", strings.Join(names, ", "))
}
