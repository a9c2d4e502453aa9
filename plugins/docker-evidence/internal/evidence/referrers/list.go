package referrers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Bounds of a listing.
const (
	maxPages     = 1000
	maxReferrers = 100_000
)

// List returns what refers to subject, sorted by digest: what the referrers API
// and the referrers tag name, for a registry may have got the API after tags were
// written. What a list says of an artifact is a claim until its manifest is read.
func (r *Repository) List(ctx context.Context, subject v1.Hash) ([]v1.Descriptor, error) {
	found, _, err := r.listAPI(ctx, subject)
	if err != nil {
		return nil, fmt.Errorf("listing what refers to %s: %w", subject, err)
	}
	index, err := r.readIndex(ctx, subject)
	if err != nil {
		return nil, fmt.Errorf("listing what refers to %s: %w", subject, err)
	}
	tagged, err := index.descriptors()
	if err != nil {
		return nil, fmt.Errorf("listing what refers to %s: reading tag %s: %w", subject, fallbackTag(subject), err)
	}
	// A registry's API may leave out the annotations that the tag has.
	all := append(tagged, found...)
	slices.SortStableFunc(all, func(a, b v1.Descriptor) int { return cmp.Compare(a.Digest.String(), b.Digest.String()) })
	return slices.CompactFunc(all, func(a, b v1.Descriptor) bool { return a.Digest == b.Digest }), nil
}

// listAPI asks the referrers API; supported is false if the registry has none.
func (r *Repository) listAPI(ctx context.Context, subject v1.Hash) (out []v1.Descriptor, supported bool, err error) {
	next := r.url("referrers", subject.String())
	for range maxPages {
		page, following, ok, err := r.listPage(ctx, next)
		if err != nil || !ok {
			return nil, false, err
		}
		if out = append(out, page...); len(out) > maxReferrers {
			return nil, false, fmt.Errorf("more than %d referrers", maxReferrers)
		}
		if following == "" {
			return out, true, nil
		}
		next = following
	}
	return nil, false, fmt.Errorf("more than %d pages", maxPages)
}

func (r *Repository) listPage(ctx context.Context, page string) (out []v1.Descriptor, next string, supported bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, "", false, err
	}
	req.Header.Set("Accept", string(types.OCIImageIndex))
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, "", false, explain(err, r.name)
	}
	defer resp.Body.Close()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case isRefusal(resp.StatusCode):
		return nil, "", false, explain(transport.CheckError(resp, http.StatusOK), r.name)
	case resp.StatusCode != http.StatusOK, kind != string(types.OCIImageIndex):
		return nil, "", false, nil
	}
	body, err := readBounded(resp.Body, maxManifest)
	if err != nil {
		return nil, "", false, err
	}
	var index struct {
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, "", false, fmt.Errorf("parsing the list: %w", err)
	}
	next, err = nextPage(page, resp.Header.Get("Link"))
	return index.Manifests, next, true, err
}

// nextPage reads a Link header (RFC 5988) as the distribution specification uses
// it. A link to another host is refused: it would be sent the credentials.
func nextPage(page, link string) (string, error) {
	target, params, found := strings.Cut(link, ">")
	if !found || !strings.HasPrefix(target, "<") || !strings.Contains(params, `rel="next"`) {
		return "", nil
	}
	base, err := url.Parse(page)
	if err != nil {
		return "", err
	}
	next, err := base.Parse(target[1:])
	if err != nil {
		return "", fmt.Errorf("parsing the link to the next page: %w", err)
	}
	if next.Host != base.Host || next.Scheme != base.Scheme {
		return "", errors.New("the list goes on at another host")
	}
	return next.String(), nil
}
