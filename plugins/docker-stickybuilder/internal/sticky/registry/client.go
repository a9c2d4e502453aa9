// Package registry is a client for one repository of an OCI registry that needs no
// more than plain pushes and pulls: whole blobs by GET, blobs in one piece by POST
// and PUT, manifests and tags. It never sends a blob in several requests, which some
// registries get wrong, and never asks for a range, which some ignore.
//
// What fails for a moment (429, 5xx, a torn connection) is tried again.
package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Options of Open. The zero value is anonymous access by the default transport.
type Options struct {
	Keychain  authn.Keychain
	Transport http.RoundTripper
	UserAgent string
	Tries     int           // for each request; 0 means 6
	Backoff   time.Duration // before the second try, doubled for each further one; 0 means 500 ms
	Stall     time.Duration // without a byte, after which a transfer counts as torn; 0 means 1 min
}

// A Client is one repository. It is safe for concurrent use.
type Client struct {
	repo    name.Repository
	options Options
	plain   *http.Client
	meter   *meter

	mu     sync.Mutex
	scheme string
	authed *http.Client // once the registry has asked for credentials
}

// Open names a repository, REGISTRY/REPO. It asks the registry nothing yet.
func Open(repository string, o Options) (*Client, error) {
	repo, err := name.NewRepository(repository, name.StrictValidation)
	if strings.Contains(repository, "://") {
		err = errors.New("it is REGISTRY/REPO, without a scheme")
	}
	if err != nil {
		return nil, fmt.Errorf("parsing repository %q: %w", repository, err)
	}
	if o.Tries <= 0 {
		o.Tries = 6
	}
	if o.Backoff <= 0 {
		o.Backoff = 500 * time.Millisecond
	}
	if o.Stall <= 0 {
		o.Stall = time.Minute
	}
	if o.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 16
		o.Transport = t
	}
	counted := &meter{base: o.Transport}
	o.Transport = counted
	c := &Client{repo: repo, options: o, meter: counted, scheme: repo.Scheme()}
	c.plain = &http.Client{Transport: transport.NewUserAgent(o.Transport, o.UserAgent)}
	return c, nil
}

func (c *Client) String() string { return c.repo.Name() }

// Registry is the host, and the port if one was given.
func (c *Client) Registry() string { return c.repo.RegistryStr() }

// An Error is a registry's refusal.
type Error struct {
	Method, Path string
	Status       int
	Text         string        // as much of the answer as is worth showing
	After        time.Duration // Retry-After, 0 if there was none
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// Is lets a refusal match the sentinels of this package.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound
	case ErrDenied:
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	case ErrUnsupported:
		return e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusBadRequest || e.Status == http.StatusNotImplemented
	}
	return false
}

// Kinds of refusals.
var (
	ErrNotFound    = errors.New("not found")
	ErrDenied      = errors.New("access denied")
	ErrUnsupported = errors.New("not supported by the registry")
)

// A request is one that can be sent more than once.
type request struct {
	method, path string // path is below /v2/REPOSITORY, or a whole URL
	header       http.Header
	body         func() io.Reader // nil for none
	size         int64
}

// send sends a request once and returns the answer if it has one of the statuses.
func (c *Client) send(ctx context.Context, r request, accept ...int) (*http.Response, error) {
	c.mu.Lock()
	client, scheme := c.authed, c.scheme
	c.mu.Unlock()
	if client != nil {
		return c.sendBy(ctx, client, scheme, r, accept)
	}
	resp, err := c.sendBy(ctx, c.plain, scheme, r, accept)
	var refused *Error
	switch {
	case scheme == "http" && errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
		// What a server that wants HTTPS answers to plain HTTP, which is how
		// registries on this machine are tried first.
		byTLS, tlsErr := c.sendBy(ctx, c.plain, "https", r, accept)
		if tlsErr != nil && !errors.As(tlsErr, new(*Error)) {
			return nil, err
		}
		c.mu.Lock()
		c.scheme = "https"
		c.mu.Unlock()
		if byTLS != nil {
			return byTLS, nil
		}
		return c.send(ctx, r, accept...)
	case errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
		if client, err = c.login(ctx); err != nil {
			return nil, err
		}
		return c.sendBy(ctx, client, scheme, r, accept)
	}
	return resp, err
}

func (c *Client) login(ctx context.Context) (*http.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.authed != nil {
		return c.authed, nil
	}
	auth := authn.Anonymous
	if c.options.Keychain != nil {
		var err error
		if auth, err = authn.Resolve(ctx, c.options.Keychain, c.repo); err != nil {
			return nil, fmt.Errorf("reading credentials for %s: %w", c.Registry(), err)
		}
	}
	scope := c.repo.Scope(transport.PushScope) // which includes pulling
	t, err := transport.NewWithContext(ctx, c.repo.Registry, auth, transport.NewUserAgent(c.options.Transport, c.options.UserAgent), []string{scope})
	var denied *transport.Error
	if errors.As(err, &denied) && (denied.StatusCode == http.StatusUnauthorized || denied.StatusCode == http.StatusForbidden) {
		return nil, &Error{Method: http.MethodGet, Path: "token", Status: denied.StatusCode, Text: clean(denied.Error())}
	}
	if err != nil {
		return nil, err
	}
	c.authed = &http.Client{Transport: t}
	return c.authed, nil
}

func (c *Client) sendBy(ctx context.Context, client *http.Client, scheme string, r request, accept []int) (*http.Response, error) {
	u := r.path
	if !strings.Contains(u, "://") {
		u = scheme + "://" + c.repo.RegistryStr() + "/v2/" + c.repo.RepositoryStr() + r.path
	}
	var body io.Reader
	if r.body != nil {
		body = r.body()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u, body)
	if err != nil {
		return nil, err
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	if r.body != nil {
		req.ContentLength = r.size
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, withoutQuery(err)
	}
	for _, s := range accept {
		if resp.StatusCode == s {
			return resp, nil
		}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return nil, &Error{Method: r.method, Path: req.URL.Path, Status: resp.StatusCode, Text: clean(string(text)), After: retryAfter(resp.Header)}
}

// withoutQuery takes out of an error what an address has behind its path: where registries
// keep their blobs elsewhere, that is a key to these.
func withoutQuery(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		failed.URL, _, _ = strings.Cut(failed.URL, "?")
	}
	return err
}

// clean makes a registry's words fit for a line on a terminal.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	const most = 300
	if s = strings.Join(strings.Fields(s), " "); len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// resolve makes the location that a registry names a URL, on the registry's own host
// if it names none.
func resolve(resp *http.Response, location string) (*url.URL, error) {
	u, err := resp.Request.URL.Parse(location)
	if err != nil || location == "" {
		return nil, fmt.Errorf("the registry names no place to upload to: %q", location)
	}
	return u, nil
}
