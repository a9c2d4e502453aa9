package referrers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/referrers"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

var quick = referrers.Pace{Settle: 150 * time.Millisecond}

// A backend is one kind of registry that Attach must work on.
type backend struct {
	annotations bool // whether its list has them, and the artifact type
	host        func(t *testing.T) string
}

func inProcess(opts ...registry.Option) func(*testing.T) string {
	return func(t *testing.T) string {
		server := httptest.NewServer(registry.New(append(opts, registry.Logger(log.New(io.Discard, "", 0)))...))
		t.Cleanup(server.Close)
		return strings.TrimPrefix(server.URL, "http://")
	}
}

func backends() map[string]backend {
	all := map[string]backend{
		"tag": {true, inProcess()},
		// Its API leaves out annotations, and takes the config's type for the artifact's.
		"api": {false, inProcess(registry.WithReferrersSupport(true))},
		// Says on push that it has the API, and lists nothing.
		"liar": {true, liar},
	}
	if host := os.Getenv("DOCKERFACTORY_REGISTRY"); host != "" {
		all["distribution"] = backend{true, func(*testing.T) string { return host }}
	}
	return all
}

func liar(t *testing.T) string {
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/referrers/") {
			w.Header().Set("Content-Type", string(types.OCIImageIndex))
			fmt.Fprint(w, `{"schemaVersion":2,"manifests":[]}`)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// push makes an image in a new repository.
func push(t *testing.T, host string) (name.Repository, v1.Descriptor) {
	t.Helper()
	repo, err := name.NewRepository(fmt.Sprintf("%s/test/referrers-%d", host, time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repo.Tag("1"), img); err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(repo.Tag("1"))
	if err != nil {
		t.Fatal(err)
	}
	return repo, *d
}

func open(t testing.TB, repo name.Repository) *referrers.Repository {
	t.Helper()
	r, err := referrers.Open(t.Context(), repo, true, image.Options{}, quick)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func artifact(content string) referrers.Artifact {
	return referrers.Artifact{
		Type:        "application/vnd.test",
		Blobs:       []referrers.Blob{{MediaType: "text/plain", Data: []byte(content)}},
		Annotations: map[string]string{"content": content},
	}
}

// Registries refuse an index with entries for manifests that somebody deleted.
func TestAttachAfterADeletion(t *testing.T) {
	for kind, b := range backends() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			repo, subject := push(t, b.host(t))
			r := open(t, repo)
			first, err := r.Attach(t.Context(), subject, []referrers.Artifact{artifact("one"), artifact("two")}, progress.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.Delete(repo.Digest(first[0].Digest.String())); err != nil {
				t.Fatal(err)
			}
			second, err := r.Attach(t.Context(), subject, []referrers.Artifact{artifact("three")}, progress.Discard)
			if err != nil {
				t.Fatal(err)
			}
			list, err := r.List(t.Context(), subject.Digest)
			if err != nil {
				t.Fatal(err)
			}
			var got []v1.Hash
			for _, d := range list {
				got = append(got, d.Digest)
			}
			if len(got) != 2 || !slices.Contains(got, first[1].Digest) || !slices.Contains(got, second[0].Digest) {
				t.Errorf("listed are %v, want %s and %s", got, first[1].Digest, second[0].Digest)
			}
		})
	}
}

func TestAttach(t *testing.T) {
	for kind, b := range backends() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			repo, subject := push(t, b.host(t))
			r := open(t, repo)
			attached, err := r.Attach(t.Context(), subject, []referrers.Artifact{artifact("one"), artifact("two")}, progress.Discard)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // again: nothing changes
				again, err := r.Attach(t.Context(), subject, []referrers.Artifact{artifact("one"), artifact("two")}, progress.Discard)
				if err != nil || again[0].Digest != attached[0].Digest || again[1].Digest != attached[1].Digest {
					t.Fatalf("again: %v, %v", again, err)
				}
			}
			list, err := r.List(t.Context(), subject.Digest)
			if err != nil || len(list) != 2 {
				t.Fatalf("list: %v, %v", list, err)
			}
			for _, d := range list {
				if b.annotations && d.ArtifactType != "application/vnd.test" {
					t.Errorf("artifact type %q", d.ArtifactType)
				}
				raw, err := r.Manifest(t.Context(), d)
				if err != nil {
					t.Fatal(err)
				}
				var m v1.Manifest
				if err := json.Unmarshal(raw, &m); err != nil {
					t.Fatal(err)
				}
				content, err := r.Blob(t.Context(), m.Layers[0])
				if err != nil || string(content) != m.Annotations["content"] {
					t.Errorf("blob %q, %v", content, err)
				}
				if b.annotations && d.Annotations["content"] != string(content) {
					t.Errorf("the list has annotations %v", d.Annotations)
				}
				if m.Subject == nil || m.Subject.Digest != subject.Digest || m.Config.MediaType != "application/vnd.oci.empty.v1+json" {
					t.Errorf("manifest %s", raw)
				}
			}
		})
	}
}

// Many jobs attach to one image at once, each with a client of its own, as in a
// test matrix.
func TestAttachInParallelLosesNothing(t *testing.T) {
	const jobs = 20
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	if n, err := strconv.Atoi(os.Getenv("EVIDENCE_ROUNDS")); err == nil {
		rounds = n
	}
	for kind, b := range backends() {
		t.Run(kind, func(t *testing.T) {
			host := b.host(t)
			for round := range rounds {
				repo, subject := push(t, host)
				var wait sync.WaitGroup
				errs := make([]error, jobs)
				for i := range jobs {
					wait.Go(func() {
						r, err := referrers.Open(t.Context(), repo, true, image.Options{}, referrers.Pace{})
						if err == nil {
							_, err = r.Attach(t.Context(), subject, []referrers.Artifact{artifact(fmt.Sprint(round, " ", i))}, progress.Discard)
						}
						errs[i] = err
					})
				}
				wait.Wait()
				for i, err := range errs {
					if err != nil {
						t.Errorf("job %d: %v", i, err)
					}
				}
				list, err := open(t, repo).List(t.Context(), subject.Digest)
				if err != nil || len(list) != jobs {
					t.Errorf("round %d: %d of %d are listed, %v", round, len(list), jobs, err)
				}
			}
		})
	}
}

func TestForeignEntriesSurvive(t *testing.T) {
	repo, subject := push(t, inProcess()(t))
	foreign := `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:` + strings.Repeat("0", 64) + `","size":7,"artifactType":"x/y","annotations":{"k":"<v>"},"newField":{"b":1,"a":[2]}}`
	index := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","annotations":{"mine":"yes"},"manifests":[` + foreign + `],"other":true}`
	tag := repo.Tag(strings.Replace(subject.Digest.String(), ":", "-", 1))
	empty := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`
	put(t, repo.Tag("foreign"), string(types.OCIManifestSchema1), empty)
	d, err := remote.Head(repo.Tag("foreign"))
	if err != nil {
		t.Fatal(err)
	}
	foreign = strings.Replace(foreign, "sha256:"+strings.Repeat("0", 64), d.Digest.String(), 1)
	index = strings.Replace(index, "sha256:"+strings.Repeat("0", 64), d.Digest.String(), 1)
	put(t, tag, string(types.OCIImageIndex), index)
	if _, err := open(t, repo).Attach(t.Context(), subject, []referrers.Artifact{artifact("one")}, progress.Discard); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Get(tag)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{foreign, `"annotations":{"mine":"yes"}`, `"other":true`} {
		if !bytes.Contains(got.Manifest, []byte(want)) {
			t.Errorf("%s is gone: %s", want, got.Manifest)
		}
	}
	list, err := open(t, repo).List(t.Context(), subject.Digest)
	if err != nil || len(list) != 2 {
		t.Errorf("list: %v, %v", list, err)
	}
}

func TestTagThatIsNoIndexIsLeftAlone(t *testing.T) {
	repo, subject := push(t, inProcess()(t))
	tag := repo.Tag(strings.Replace(subject.Digest.String(), ":", "-", 1))
	img, _ := random.Image(8, 1)
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, repo).Attach(t.Context(), subject, []referrers.Artifact{artifact("one")}, progress.Discard); err == nil || !strings.Contains(err.Error(), "not an OCI index") {
		t.Errorf("err = %v", err)
	}
}

func put(t *testing.T, tag name.Tag, mediaType, body string) {
	t.Helper()
	url := fmt.Sprintf("http://%s/v2/%s/manifests/%s", tag.RegistryStr(), tag.RepositoryStr(), tag.TagStr())
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(body))
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("status %s", resp.Status)
	}
}

// A registry that gives other bytes than asked for must be found out.
func TestReadsAreVerified(t *testing.T) {
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	var mu sync.Mutex
	tamper := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		bad := tamper && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "sha256:")
		mu.Unlock()
		if !bad {
			inner.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		inner.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		if len(body) > 0 {
			body[len(body)/2] ^= 1
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body)
	}))
	defer server.Close()
	repo, subject := push(t, strings.TrimPrefix(server.URL, "http://"))
	r := open(t, repo)
	a := artifact("some content")
	attached, err := r.Attach(t.Context(), subject, []referrers.Artifact{a}, progress.Discard)
	if err != nil {
		t.Fatal(err)
	}
	blob := a.Blobs[0].Descriptor()
	if _, err := r.Blob(t.Context(), blob); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"shorter": blob.Size + 1, "longer": blob.Size - 1, "huge": 1 << 40} {
		d := blob
		d.Size = size
		if _, err := r.Blob(t.Context(), d); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	mu.Lock()
	tamper = true
	mu.Unlock()
	if _, err := r.Blob(t.Context(), blob); err == nil {
		t.Error("a changed blob was accepted")
	}
	if _, err := r.Manifest(t.Context(), attached[0]); err == nil {
		t.Error("a changed manifest was accepted")
	}
}

func TestListFollowsPages(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			if r.URL.Path != "/v2/" {
				w.WriteHeader(http.StatusNotFound)
			}
			return
		}
		n := r.URL.Query().Get("n")
		asked = append(asked, n)
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json; charset=utf-8")
		switch n {
		case "":
			w.Header().Set("Link", `<?n=2>; rel="next"`)
		case "2":
			w.Header().Set("Link", `<https://elsewhere.example/v2/x>; rel="next"`)
		}
		fmt.Fprintf(w, `{"manifests":[{"digest":"sha256:%064s","size":1}]}`, n)
	}))
	defer server.Close()
	repo, _ := name.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/a/b")
	_, err := open(t, repo).List(t.Context(), v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("1", 64)})
	if err == nil || !strings.Contains(err.Error(), "goes on at another host") {
		t.Errorf("err = %v", err)
	}
	if !slices.Equal(asked, []string{"", "2"}) {
		t.Errorf("asked for pages %q", asked)
	}
}
