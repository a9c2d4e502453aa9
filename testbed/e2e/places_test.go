//go:build e2e

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// oldEngine is a command of the docker CLI for the engine of another age.
func oldEngine(argv ...string) []string {
	return append([]string{"docker", "--host", os.Getenv("DOCKERFACTORY_OLD_DOCKER_HOST")}, argv...)
}

// One image through every kind of place, in both engines, and all judges read it.
func TestPlaces(t *testing.T) {
	leavesNothing(t)
	dir, source := t.TempDir(), os.Getenv("DOCKERFACTORY_BASE_IMAGE")
	name := "places-e2e:" + strings.ToLower(time.Now().Format("150405"))
	target := repository(t) + ":back"
	hops := []string{source, "oci-archive://a.tar:1", "docker-archive://b.tar:" + name, "docker-daemon://" + name, target, "oci://layout:x"}
	t.Cleanup(func() {
		try(t, "", "docker", "rmi", name)
		try(t, "", oldEngine("rmi", name)...)
	})
	for i, to := range hops[1:] {
		must(t, dir, "docker", "repack", hops[i], to, "--target-size", "10MB")
		contains(t, must(t, dir, "docker", "repack", "verify", source, to), "equal")
	}
	list := "cd /usr && find . ! -type d -printf '%p %m %U %G %s %T@ %l %n\\n' | sort | sha256sum"
	before := must(t, "", "docker", "run", "--rm", "--network", "none", source, "sh", "-c", list)
	run := []string{"run", "--rm", "--network", "none", name, "sh", "-c", list}
	same := func(what, after string) {
		if after != before {
			t.Errorf("%s: the container's /usr is %s, the source's %s", what, after, before)
		}
	}
	same("modern engine", must(t, "", append([]string{"docker"}, run...)...))

	// The archive loads into both engines by their own docker load; what each saves
	// is read.
	must(t, dir, "docker", "rmi", name)
	contains(t, must(t, dir, "docker", "load", "-i", "b.tar"), name)
	must(t, dir, "docker", "save", "-o", "modern.tar", name)
	contains(t, must(t, dir, oldEngine("load", "-i", "b.tar")...), name)
	same("old engine", must(t, "", oldEngine(run...)...))
	must(t, dir, oldEngine("save", "-o", "old.tar", name)...)
	must(t, dir, "gzip", "-k", "old.tar")
	for _, file := range []string{"modern.tar", "old.tar", "old.tar.gz"} {
		contains(t, must(t, dir, "docker", "repack", "verify", source, "docker-archive://"+file), "equal")
	}

	// skopeo reads what we write, and checks each digest on the way.
	for i, ref := range []string{"oci-archive:a.tar:1", "docker-archive:b.tar:" + name, "oci:layout:x"} {
		must(t, dir, "skopeo", "copy", "-q", ref, "oci:judge:"+string(rune('a'+i)))
		contains(t, must(t, dir, "docker", "repack", "verify", source, "oci://judge:"+string(rune('a'+i))), "equal")
	}
	// What others write is read.
	must(t, dir, "skopeo", "copy", "-q", "--src-tls-verify=false", "docker://"+source, "docker-archive:skopeo.tar:app:1")
	must(t, dir, "skopeo", "copy", "-q", "--src-tls-verify=false", "docker://"+source, "oci-archive:skopeo-oci.tar:1")
	must(t, dir, filepath.Join(bed.tools, "crane"), "pull", "--insecure", source, "crane.tar")
	for _, ref := range []string{"docker-archive://skopeo.tar:app:1", "oci-archive://skopeo-oci.tar:1", "docker-archive://crane.tar"} {
		contains(t, must(t, dir, "docker", "repack", "verify", source, ref, "--platform", "linux/amd64"), "equal")
	}
}

// The old engine as a destination gets gzip, and is read from again.
func TestOldEngineAsPlace(t *testing.T) {
	leavesNothing(t)
	source := os.Getenv("DOCKERFACTORY_BASE_IMAGE")
	name := "places-old-e2e:1"
	t.Cleanup(func() { try(t, "", oldEngine("rmi", name)...) })
	must(t, "", oldEngine("repack", source, "docker-daemon://"+name)...)
	contains(t, must(t, "", oldEngine("repack", "verify", source, "docker-daemon://"+name)...), "equal")
	r := try(t, "", oldEngine("repack", source, "docker-daemon://"+name, "--compression", "zstd")...)
	contains(t, r.stderr, "does not read zstd", "hint: choose another: --compression gzip")
}

// buildx makes an index with provenance; after repacking, buildx still finds each
// platform's. Its archives are read as well.
func TestAttestationsFollow(t *testing.T) {
	leavesNothing(t)
	b := newBuilder(t, t.TempDir())
	b.up()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /from-$TARGETARCH\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	repo := repository(t)
	build := func(argv ...string) {
		must(t, dir, append(append([]string{"docker", "buildx", "build", "--builder", b.name, "--provenance=mode=max"}, argv...), ".")...)
	}
	build("--platform", "linux/amd64,linux/arm64", "--push", "-t", repo+":1")
	build("--platform", "linux/amd64,linux/arm64", "-o", "type=oci,dest=oci.tar")
	build("--platform", "linux/amd64", "--provenance=false", "-o", "type=docker,dest=docker.tar", "-t", "app:1")
	for from, to := range map[string]string{repo + ":1": repo + ":2", "oci-archive://oci.tar": repo + "-oci:1"} {
		must(t, dir, "docker", "repack", from, to)
		contains(t, must(t, dir, "docker", "repack", "verify", from, to), "equal", "linux/arm64")
		var provenance map[string]json.RawMessage
		out := must(t, dir, "docker", "buildx", "imagetools", "inspect", "--builder", b.name, to, "--format", "{{json .Provenance}}")
		if err := json.Unmarshal([]byte(out), &provenance); err != nil || len(provenance) != 2 || !strings.Contains(out, "buildType") {
			t.Errorf("%s: provenance of %d platforms, %v:\n%s", to, len(provenance), err, out)
		}
		must(t, dir, "skopeo", "copy", "-q", "--all", "--src-tls-verify=false", "docker://"+to, "oci:judge:x")
	}
	contains(t, must(t, dir, "docker", "repack", "verify", "docker-archive://docker.tar:app:1", repo+":2", "--platform", "linux/amd64"), "equal")
	if r := b.down(); r.Decision == "" {
		t.Errorf("got %+v", r)
	}
}

// Killed in the middle of its uploads, a second run sends only what is missing.
func TestKilledUploadGoesOn(t *testing.T) {
	leavesNothing(t)
	dir := t.TempDir()
	// Incompressible, so that layers are as many as files.
	must(t, dir, "sh", "-c", "mkdir x && for i in 1 2 3 4 5 6; do head -c 3000000 /dev/urandom > x/$i; done && tar -C x -cf x.tar .")
	proxy := newCountingProxy(t)
	name := strings.Replace(repository(t), bed.registry, proxy.host, 1)
	must(t, dir, filepath.Join(bed.tools, "crane"), "append", "--insecure", "-f", "x.tar", "-t", name+":src", "--oci-empty-base")
	proxy.committed.Store(0)
	proxy.sent.Store(0)

	argv := []string{filepath.Join(bed.config, "cli-plugins", "docker-repack"), name + ":src", name + ":dst", "--target-size", "3MB", "--jobs", "1", "--verify=false"}
	proxy.hold.Store(8_000_000)
	killed := command(t.Context(), dir, argv...)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-proxy.held:
	case <-time.After(time.Minute):
		t.Fatal("the upload never came so far")
	}
	// The plugin itself, not the docker CLI before it, which is why it is run alone.
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	proxy.hold.Store(0)
	close(proxy.release)
	for end := time.Now().Add(time.Minute); proxy.busy.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("requests of a killed process never end")
		}
	}
	first, there := proxy.sent.Load(), proxy.committed.Load()
	must(t, dir, argv...)
	second := proxy.sent.Load() - first
	// All but what the first run had finished, give or take the config.
	if rest := 6*3_000_000 - there; there < 3_000_000 || second < rest || second > rest+100_000 {
		t.Errorf("killed after %d bytes, %d of them in whole blobs, the second run sent %d", first, there, second)
	}
	contains(t, must(t, dir, "docker", "repack", "verify", name+":src", name+":dst"), "equal")
}

// countingProxy stands before the registry, counts what is uploaded, and holds
// uploads back when so much has been.
type countingProxy struct {
	host       string
	sent, hold atomic.Int64
	committed  atomic.Int64 // bytes of uploads that the registry has taken
	uploads    sync.Map     // bytes by the path of the upload
	busy       atomic.Int64 // requests under way
	held       chan struct{}
	release    chan struct{}
}

func newCountingProxy(t *testing.T) *countingProxy {
	p := &countingProxy{held: make(chan struct{}, 100), release: make(chan struct{})}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: bed.registry})
		r.Out.Host = r.In.Host // in the Location of uploads
	}, ModifyResponse: func(r *http.Response) error {
		if n, ok := p.uploads.Load(r.Request.URL.Path); ok && r.Request.Method == http.MethodPut && r.StatusCode == http.StatusCreated {
			p.committed.Add(n.(*atomic.Int64).Load())
		}
		return nil
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.busy.Add(1)
		defer p.busy.Add(-1)
		if strings.Contains(r.URL.Path, "/blobs/uploads/") && r.Body != nil {
			n, _ := p.uploads.LoadOrStore(r.URL.Path, &atomic.Int64{})
			r.Body = &countedBody{r.Body, p, n.(*atomic.Int64)}
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.host = strings.TrimPrefix(server.URL, "http://")
	return p
}

type countedBody struct {
	io.ReadCloser
	proxy  *countingProxy
	upload *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.upload.Add(int64(n))
	sent := b.proxy.sent.Add(int64(n))
	if hold := b.proxy.hold.Load(); hold > 0 && sent >= hold {
		b.proxy.held <- struct{}{}
		<-b.proxy.release
	}
	return n, err
}
