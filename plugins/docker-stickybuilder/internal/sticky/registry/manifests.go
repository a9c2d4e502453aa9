package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxManifest is what registries take at least, and mostly at the most
// (distribution-spec, "Pushing Manifests").
const maxManifest = 4 << 20

// GetManifest returns the manifest that a tag or digest names, with its digest;
// ErrNotFound if there is none.
func (c *Client) GetManifest(ctx context.Context, ref string) (data []byte, digest string, err error) {
	err = c.retry(ctx, func(ctx context.Context) error {
		ctx, watch := c.watch(ctx)
		defer watch.stop()
		resp, err := c.send(ctx, request{method: http.MethodGet, path: "/manifests/" + ref, header: http.Header{"Accept": {ocispec.MediaTypeImageManifest}}}, http.StatusOK)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if data, err = io.ReadAll(io.LimitReader(watched{resp.Body, watch, false, nil}, maxManifest+1)); err != nil {
			return err
		}
		if len(data) > maxManifest {
			return Permanent(errors.New("it is too big"))
		}
		digest = digestOf(data)
		if named := resp.Header.Get("Docker-Content-Digest"); strings.HasPrefix(named, "sha256:") && named != digest {
			return errors.New("its bytes do not have its digest")
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("reading manifest %s of %s: %w", ref, c, err)
	}
	return data, digest, nil
}

// PutManifest puts a manifest under a tag.
func (c *Client) PutManifest(ctx context.Context, tag string, data []byte) error {
	if len(data) > maxManifest {
		return fmt.Errorf("writing manifest %s of %s: its %d bytes are more than registries take", tag, c, len(data))
	}
	err := c.retry(ctx, func(ctx context.Context) error {
		ctx, watch := c.watch(ctx)
		defer watch.stop()
		resp, err := c.send(ctx, request{
			method: http.MethodPut, path: "/manifests/" + tag, size: int64(len(data)),
			header: http.Header{"Content-Type": {ocispec.MediaTypeImageManifest}},
			body:   func() io.Reader { return watched{bytes.NewReader(data), watch, true, nil} },
		}, http.StatusCreated, http.StatusOK, http.StatusAccepted)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("writing manifest %s of %s: %w", tag, c, err)
	}
	return nil
}

// Delete removes a manifest by its digest, or only a tag where the registry can do
// that. One that is gone is no error.
func (c *Client) Delete(ctx context.Context, ref string) error {
	err := c.retry(ctx, func(ctx context.Context) error {
		ctx, watch := c.watch(ctx)
		defer watch.stop()
		resp, err := c.send(ctx, request{method: http.MethodDelete, path: "/manifests/" + ref}, http.StatusAccepted, http.StatusOK, http.StatusNoContent, http.StatusNotFound)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("deleting manifest %s of %s: %w", ref, c, err)
	}
	return nil
}

// Bounds of what is read of a list of tags.
const (
	pageSize = 1000
	maxPages = 1000
	maxPage  = 16 << 20
)

// Tags lists the tags with a prefix. A repository that does not exist has none.
//
// The list begins behind the prefix (distribution-spec, "Listing Tags": tags are
// in lexical order), so that what else is in the repository costs nothing; where a
// registry sorts otherwise, all of it is read.
func (c *Client) Tags(ctx context.Context, prefix string) (tags []string, err error) {
	next := "/tags/list?" + url.Values{"n": {fmt.Sprint(pageSize)}, "last": {prefix}}.Encode()
	for range maxPages {
		var page []string
		err := c.retry(ctx, func(ctx context.Context) error { page, err = c.tagsPage(ctx, &next); return err })
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("listing tags of %s: %w", c, err)
		}
		for _, t := range page {
			if strings.HasPrefix(t, prefix) {
				tags = append(tags, t)
			}
		}
		n := len(page)
		beyond := n > 0 && slices.IsSorted(page) && page[n-1] > prefix && !strings.HasPrefix(page[n-1], prefix)
		if next == "" || beyond {
			return tags, nil
		}
	}
	return nil, fmt.Errorf("listing tags of %s: there is no end to them", c)
}

func (c *Client) tagsPage(ctx context.Context, next *string) ([]string, error) {
	ctx, watch := c.watch(ctx)
	defer watch.stop()
	resp, err := c.send(ctx, request{method: http.MethodGet, path: *next}, http.StatusOK)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(watched{resp.Body, watch, false, nil}, maxPage))
	if err != nil {
		return nil, err
	}
	var list struct{ Tags []string }
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, Permanent(err)
	}
	link := resp.Header.Get("Link")
	*next = ""
	if from, to := strings.IndexByte(link, '<'), strings.IndexByte(link, '>'); from >= 0 && to > from && strings.Contains(link, "next") {
		u, err := resolve(resp, link[from+1:to])
		if err != nil || u.Host != resp.Request.URL.Host {
			return nil, Permanent(fmt.Errorf("the list goes on elsewhere: %s", link))
		}
		*next = u.String()
	}
	return list.Tags, nil
}
