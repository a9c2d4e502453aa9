package repack_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// repositories is a registry whose repositories do not see each other's blobs until
// they are mounted, unlike those of the one below it.
type repositories struct {
	http.Handler
	refuse bool // to mount

	mu              sync.Mutex
	has             map[string]bool // repository and digest
	mounted, pushed []string
}

func (r *repositories) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	repo, rest, blob := strings.Cut(strings.TrimPrefix(q.URL.Path, "/v2/"), "/blobs/")
	switch {
	case blob && q.Method == http.MethodHead && !r.has[repo+"@"+rest]:
		w.WriteHeader(http.StatusNotFound)
		return
	case blob && q.Method == http.MethodPost:
		from, digest := q.URL.Query().Get("from"), q.URL.Query().Get("mount")
		if !r.refuse && from != "" && r.has[from+"@"+digest] {
			r.has[repo+"@"+digest] = true
			r.mounted = append(r.mounted, digest)
			w.WriteHeader(http.StatusCreated)
			return
		}
	case blob && q.Method == http.MethodPut:
		digest := q.URL.Query().Get("digest")
		r.has[repo+"@"+digest] = true
		r.pushed = append(r.pushed, repo+"@"+digest)
	}
	r.Handler.ServeHTTP(w, q)
}

// What goes along unchanged is not sent within a registry, if that allows it.
func TestUnchangedBlobsAreMounted(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		r := &repositories{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), has: map[string]bool{}, refuse: refuse}
		server := httptest.NewServer(r)
		host := strings.TrimPrefix(server.URL, "http://")
		img := makeImage(t, "linux/amd64", Tar(t, File("a", "1")))
		digest, _ := img.Digest()
		attestation, err := random.Image(100, 2)
		if err != nil {
			t.Fatal(err)
		}
		push(t, host+"/from:1", mutate.AppendManifests(indexOf(t, img), mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest.String()},
		}}))
		r.pushed = nil
		run(t, host+"/from:1", host+"/to:1", repack.Options{Verify: true})
		want, sent := 3, 2 // config and two statements; the image's layer and config
		if refuse {
			want, sent = 0, 5
		}
		if len(r.mounted) != want || len(r.pushed) != sent {
			t.Errorf("refuse %v: mounted %q, pushed %q", refuse, r.mounted, r.pushed)
		}
		server.Close()
	}
}
