package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/registry"
)

// A front stands before a registry, counts, and fails as it is told.
type front struct {
	mu       sync.Mutex
	requests []string
	fault    func(n int, w http.ResponseWriter, r *http.Request) bool
	inner    http.Handler
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	n, fault := len(f.requests), f.fault
	f.mu.Unlock()
	if fault != nil && fault(n, w, r) {
		return
	}
	f.inner.ServeHTTP(w, r)
}

func serve(t *testing.T, start func(http.Handler) *httptest.Server, o registry.Options) (*front, *registry.Client) {
	t.Helper()
	f := &front{inner: ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))}
	s := start(f)
	t.Cleanup(s.Close)
	o.Backoff = time.Millisecond
	if o.Transport == nil {
		o.Transport = s.Client().Transport
	}
	c, err := registry.Open(s.Listener.Addr().String()+"/team/disks", o)
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func plain(h http.Handler) *httptest.Server { return httptest.NewServer(h) }

func TestBlobs(t *testing.T) {
	f, c := serve(t, plain, registry.Options{})
	data := bytes.Repeat([]byte("data"), 100_000)
	sent := 0
	digest, uploaded, err := c.PutBlob(t.Context(), data, func(n int) { sent += n })
	if err != nil || !uploaded || sent != len(data) {
		t.Fatalf("%s %v %d, %v", digest, uploaded, sent, err)
	}
	f.mu.Lock()
	if len(f.requests) != 3 || !strings.HasPrefix(f.requests[0], "HEAD") || !strings.HasPrefix(f.requests[1], "POST") || !strings.HasPrefix(f.requests[2], "PUT") {
		t.Errorf("requests %q", f.requests)
	}
	f.mu.Unlock()
	if _, uploaded, err = c.PutBlob(t.Context(), data, nil); err != nil || uploaded {
		t.Errorf("again: %v, %v", uploaded, err)
	}
	if got, err := c.ReadBlob(t.Context(), digest, 1<<20, nil); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := c.ReadBlob(t.Context(), digest, 1000, nil); err == nil {
		t.Error("more was read than allowed")
	}
	if _, err := c.ReadBlob(t.Context(), "sha256:"+strings.Repeat("0", 64), 10, nil); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("none: %v", err)
	}
	if err := c.CheckPush(t.Context()); err != nil {
		t.Error(err)
	}
}

const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[],"annotations":{"n":"%d"}}`

func TestManifestsAndTags(t *testing.T) {
	_, c := serve(t, plain, registry.Options{})
	if tags, err := c.Tags(t.Context(), "a-"); err != nil || len(tags) > 0 {
		t.Errorf("an unknown repository: %v, %v", tags, err)
	}
	if _, _, err := c.PutBlob(t.Context(), []byte("{}"), nil); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 30 {
		for _, p := range []string{"a-", "b-", "c-"} {
			tag := fmt.Sprintf("%s%02d", p, i)
			if err := c.PutManifest(t.Context(), tag, fmt.Appendf(nil, manifest, i)); err != nil {
				t.Fatal(err)
			}
			if p == "b-" {
				want = append(want, tag)
			}
		}
	}
	if got, err := c.Tags(t.Context(), "b-"); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	data, digest, err := c.GetManifest(t.Context(), "a-07")
	if err != nil || string(data) != fmt.Sprintf(manifest, 7) {
		t.Errorf("%s, %v", data, err)
	}
	for range 2 {
		if err := c.Delete(t.Context(), digest); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := c.GetManifest(t.Context(), digest); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("after that: %v", err)
	}
}

func TestTagsInPagesAndInNoOrder(t *testing.T) {
	all := []string{"z", "p-3", "a", "p-1", "q", "p-2"}
	for _, sorted := range []bool{false, true} {
		pages := 0
		list := slices.Clone(all)
		if sorted {
			slices.Sort(list)
		}
		f, c := serve(t, plain, registry.Options{})
		f.fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
			at := pages * 2
			pages++
			if at+2 < len(list) {
				w.Header().Set("Link", `</v2/team/disks/tags/list?last=x&n=2>; rel="next"`)
			}
			fmt.Fprintf(w, `{"name":"x","tags":["%s","%s"]}`, list[at], list[at+1])
			return true
		}
		got, err := c.Tags(t.Context(), "p-")
		slices.Sort(got)
		if err != nil || !slices.Equal(got, []string{"p-1", "p-2", "p-3"}) || pages != 3 {
			t.Errorf("%v in %d pages, %v", got, pages, err)
		}
	}
}

func TestPassingFaults(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 300_000)
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request){
		"429": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"torn": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
			panic(http.ErrAbortHandler)
		},
		"short": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "300000")
			_, _ = w.Write(make([]byte, 100))
			panic(http.ErrAbortHandler)
		},
		"stalled": func(http.ResponseWriter, *http.Request) {
			time.Sleep(300 * time.Millisecond)
			panic(http.ErrAbortHandler)
		},
	} {
		f, c := serve(t, plain, registry.Options{Stall: 100 * time.Millisecond})
		failed := map[string]int{}
		f.fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
			f.mu.Lock()
			failed[r.Method]++
			n := failed[r.Method]
			f.mu.Unlock()
			if n <= 2 {
				fault(w, r)
			}
			return n <= 2
		}
		sent := 0
		digest, _, err := c.PutBlob(t.Context(), data, func(n int) { sent += n })
		if err != nil || sent != len(data) {
			t.Errorf("%s: uploading: %v, %d bytes", name, err, sent)
			continue
		}
		if got, err := c.ReadBlob(t.Context(), digest, 1<<20, nil); err != nil || len(got) != len(data) {
			t.Errorf("%s: fetching: %v", name, err)
		}
	}
}

func TestLastingFaults(t *testing.T) {
	for status, want := range map[int]int{http.StatusForbidden: 1, http.StatusServiceUnavailable: 3} {
		f, c := serve(t, plain, registry.Options{Tries: 3})
		f.fault = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			fmt.Fprint(w, "no\x1b[31m\n")
			return true
		}
		err := c.CheckPush(t.Context())
		var refused *registry.Error
		if !errors.As(err, &refused) || refused.Status != status || errors.Is(err, registry.ErrDenied) != (status == http.StatusForbidden) || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%d: %q", status, err)
		}
		if len(f.requests) != want {
			t.Errorf("%d: %d requests", status, len(f.requests))
		}
	}
}

func TestTLS(t *testing.T) {
	_, c := serve(t, httptest.NewTLSServer, registry.Options{})
	if _, _, err := c.PutBlob(t.Context(), []byte("x"), nil); err != nil {
		t.Error(err)
	}
}

type keychain struct{ user, password string }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: k.user, Password: k.password}), nil
}

// A token that expires between two requests, also in the middle of an upload.
func TestTokens(t *testing.T) {
	valid, issued := "", 0
	for password, works := range map[string]bool{"right": true, "wrong": false} {
		f, c := serve(t, plain, registry.Options{Keychain: keychain{"me", password}})
		f.fault = func(n int, w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				if _, p, _ := r.BasicAuth(); p != "right" {
					w.WriteHeader(http.StatusUnauthorized)
					return true
				}
				issued++
				valid = fmt.Sprintf("token%d", issued)
				fmt.Fprintf(w, `{"token":%q}`, valid)
				return true
			}
			if n%5 == 0 {
				valid = ""
			}
			if valid == "" || r.Header.Get("Authorization") != "Bearer "+valid {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			return false
		}
		var err error
		for i := range 10 {
			if _, _, e := c.PutBlob(t.Context(), fmt.Appendf(nil, "blob %d", i), nil); e != nil {
				err = e
			}
		}
		if works != (err == nil) || (!works && !errors.Is(err, registry.ErrDenied)) {
			t.Errorf("%s: %v", password, err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, bad := range []string{"", "repo", "host:5000", "host:5000/UPPER", "host/repo:tag", "http://host/repo"} {
		if _, err := registry.Open(bad, registry.Options{}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// The meter agrees with what has arrived at the other side, failed tries included.
func TestTraffic(t *testing.T) {
	f, c := serve(t, plain, registry.Options{})
	var sent, received int64
	f.fault = func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	inner := f.inner
	f.inner = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r)
		f.mu.Lock()
		sent += int64(len(body))
		if r.Method != http.MethodHead { // whose answer has no body on the wire
			received += int64(rec.Body.Len())
		}
		f.mu.Unlock()
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
	data := bytes.Repeat([]byte("0123456789"), 5000)
	digest, _, err := c.PutBlob(t.Context(), data, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.GetBlob(t.Context(), digest, nil, func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err })
	if err != nil {
		t.Fatal(err)
	}
	got := c.Traffic()
	want := registry.Traffic{Requests: int64(len(f.requests)), SentBytes: sent, ReceivedBytes: received}
	if got != want || got.SentBytes < int64(len(data)) || got.ReceivedBytes < int64(len(data)) {
		t.Errorf("got %+v want %+v", got, want)
	}
}

// Where a registry keeps its blobs elsewhere, the address is a key to them for a while.
func TestNoKeysInErrors(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Location", gone.URL+"/upload?X-Amz-Signature=s3cret")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		http.Redirect(w, r, gone.URL+"/blob?X-Amz-Signature=s3cret", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	c, err := registry.Open(strings.TrimPrefix(s.URL, "http://")+"/disks", registry.Options{Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, getErr := c.ReadBlob(t.Context(), "sha256:"+strings.Repeat("0", 64), 10, nil)
	_, _, putErr := c.PutBlob(t.Context(), []byte("x"), nil)
	for _, err := range []error{getErr, putErr} {
		if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%v", err)
		}
	}
}
