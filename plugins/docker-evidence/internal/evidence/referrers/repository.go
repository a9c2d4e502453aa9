package referrers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/shared/image"
)

// Bounds of what is read from a registry into memory.
const (
	maxManifest = 8 << 20
	maxBlob     = 64 << 20
)

// A Repository is where an image and its artifacts lie.
type Repository struct {
	name   name.Repository
	http   *http.Client
	pusher *remote.Pusher
	pace   Pace
}

// Open prepares access to the repository called n: with push, also for writing.
// It checks that the registry answers.
func Open(ctx context.Context, n name.Repository, push bool, access image.Options, pace Pace) (*Repository, error) {
	keychain := access.Keychain
	if keychain == nil {
		keychain = authn.NewMultiKeychain()
	}
	auth, err := authn.Resolve(ctx, keychain, n)
	if err != nil {
		return nil, fmt.Errorf("finding credentials for %s: %w", n.RegistryStr(), err)
	}
	inner := access.Transport
	if inner == nil {
		inner = remote.DefaultTransport
	}
	if access.UserAgent != "" {
		inner = transport.NewUserAgent(inner, access.UserAgent)
	}
	scope := transport.PullScope
	if push {
		scope = transport.PushScope
	}
	t, err := transport.NewWithContext(ctx, n.Registry, auth, transport.NewRetry(inner), []string{n.Scope(scope)})
	if err != nil {
		return nil, fmt.Errorf("connecting to registry %s: %w", n.RegistryStr(), explain(err, n))
	}
	pusher, err := remote.NewPusher(access.Remote(ctx)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to registry %s: %w", n.RegistryStr(), err)
	}
	return &Repository{n, &http.Client{Transport: t}, pusher, pace.withDefaults()}, nil
}

func explain(err error, n name.Repository) error {
	ref, parseErr := image.Parse(n.Name())
	if parseErr != nil {
		return err
	}
	return image.Explain(err, ref)
}

func (r *Repository) url(kind, id string) string {
	u := url.URL{Scheme: r.name.Scheme(), Host: r.name.RegistryStr(), Path: "/v2/" + r.name.RepositoryStr() + "/" + kind + "/" + id}
	return u.String()
}

// putBlob uploads b unless the registry has it.
func (r *Repository) putBlob(ctx context.Context, b Blob) error {
	layer := static.NewLayer(b.Data, types.MediaType(b.MediaType))
	if err := r.pusher.Upload(ctx, r.name, layer); err != nil {
		return fmt.Errorf("pushing a blob of %d bytes: %w", len(b.Data), explain(err, r.name))
	}
	return nil
}

// putManifest writes body under ref, a digest or tag; with etag not "", only if
// the registry still has that version, where it heeds the condition. It reports
// whether the registry has noted the manifest's subject.
func (r *Repository) putManifest(ctx context.Context, ref string, mediaType types.MediaType, body []byte, etag string) (noted bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, r.url("manifests", ref), bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", string(mediaType))
	if etag != "" {
		req.Header.Set("If-Match", etag)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return false, explain(err, r.name)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusPreconditionFailed {
		return false, errOverwritten
	}
	if err := transport.CheckError(resp, http.StatusOK, http.StatusCreated, http.StatusAccepted); err != nil {
		return false, explain(err, r.name)
	}
	return resp.Header.Get("OCI-Subject") != "", nil
}

// ErrUnusable is what [Repository.Manifest] and [Repository.Blob] give for
// something that is not there, or not what its descriptor says.
var ErrUnusable = errors.New("not what the list says")

// unusable makes any error an [ErrUnusable] without changing what it says.
type unusable struct{ error }

func (unusable) Is(target error) bool { return target == ErrUnusable }
func (u unusable) Unwrap() error      { return u.error }

// answered returns nil if the registry has given what it was asked for. What it
// refuses to give it does not have, unless it cannot or must not give it now.
func (r *Repository) answered(resp *http.Response) error {
	err := transport.CheckError(resp, http.StatusOK)
	if err == nil {
		return nil
	}
	if err = explain(err, r.name); isRefusal(resp.StatusCode) {
		return err
	}
	return unusable{err}
}

// isRefusal reports whether a status says nothing about what was asked for.
func isRefusal(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}

// errNotFound is what getManifest gives for a tag or digest that is not there.
var errNotFound = errors.New("not found")

// getManifest reads the manifest under ref. If ref is a digest the bytes are
// checked against it.
func (r *Repository) getManifest(ctx context.Context, ref string, accept types.MediaType) (body []byte, etag string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url("manifests", ref), nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", string(accept))
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, "", explain(err, r.name)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, "", errNotFound
	}
	if err := r.answered(resp); err != nil {
		return nil, "", err
	}
	if body, err = readBounded(resp.Body, maxManifest); err != nil {
		return nil, "", err
	}
	if h, err := v1.NewHash(ref); err == nil && hashOf(body) != h {
		return nil, "", unusable{fmt.Errorf("the registry gave other bytes for %s", ref)}
	}
	return body, resp.Header.Get("Etag"), nil
}

// Manifest reads the manifest that d points at, checking size and digest.
func (r *Repository) Manifest(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	body, _, err := r.getManifest(ctx, d.Digest.String(), d.MediaType)
	if errors.Is(err, errNotFound) {
		err = unusable{err}
	} else if err == nil && int64(len(body)) != d.Size {
		err = unusable{fmt.Errorf("it has %d bytes, not %d", len(body), d.Size)}
	}
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", d.Digest, err)
	}
	return body, nil
}

// Blob reads the blob that d points at, checking size and digest.
func (r *Repository) Blob(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	data, err := r.blob(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", d.Digest, err)
	}
	return data, nil
}

func (r *Repository) blob(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Digest.Algorithm != "sha256" {
		return nil, unusable{fmt.Errorf("digest algorithm %q is not known", d.Digest.Algorithm)}
	}
	if d.Size < 0 || d.Size > maxBlob {
		return nil, unusable{fmt.Errorf("%d bytes are more than the %d that are read", d.Size, maxBlob)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url("blobs", d.Digest.String()), nil)
	if err != nil {
		return nil, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, explain(err, r.name)
	}
	defer resp.Body.Close()
	if err := r.answered(resp); err != nil {
		return nil, err
	}
	data, err := readBounded(resp.Body, d.Size)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != d.Size {
		return nil, unusable{fmt.Errorf("it has %d bytes, not %d", len(data), d.Size)}
	}
	if hashOf(data) != d.Digest {
		return nil, unusable{errors.New("the registry gave other bytes")}
	}
	return data, nil
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, unusable{fmt.Errorf("more than the expected %d bytes", limit)}
	}
	return data, nil
}
