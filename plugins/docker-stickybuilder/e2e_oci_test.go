package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A proxy stands before the real registry: it counts, and fails as it is told.
type proxy struct {
	http.Handler
	mu       sync.Mutex
	requests []string
	sent     int64 // bytes of requests' bodies
	fault    func(w http.ResponseWriter, r *http.Request) bool
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests = append(p.requests, r.Method+" "+r.URL.Path)
	fault := p.fault
	p.mu.Unlock()
	r.Body = &metered{r.Body, p}
	if fault != nil && fault(w, r) {
		return
	}
	p.Handler.ServeHTTP(w, r)
}

type metered struct {
	io.ReadCloser
	p *proxy
}

func (m *metered) Read(b []byte) (int, error) {
	n, err := m.ReadCloser.Read(b)
	m.p.mu.Lock()
	m.p.sent += int64(n)
	m.p.mu.Unlock()
	return n, err
}

func (p *proxy) reset(fault func(http.ResponseWriter, *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.sent, p.fault = nil, 0, fault
}

// seen returns the requests since the last reset, and the bytes of their bodies.
func (p *proxy) seen() (requests []string, sent int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests), p.sent
}

func (p *proxy) counts(method, part string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if strings.HasPrefix(r, method) && strings.Contains(r, part) {
			n++
		}
	}
	return n
}

// registryDisk returns the --disk value of a repository that nobody else has.
func (j *job) registryDisk() (*proxy, string) {
	j.t.Helper()
	target := os.Getenv("DOCKERFACTORY_REGISTRY")
	if target == "" {
		if os.Getenv("DOCKERFACTORY_E2E") == "1" {
			j.t.Fatal("DOCKERFACTORY_REGISTRY is not set")
		}
		j.t.Skip("DOCKERFACTORY_REGISTRY is not set")
	}
	p := &proxy{Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: target})
			r.Out.Host = r.In.Host // for the registry to answer with places behind the proxy
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}}
	s := httptest.NewServer(p)
	j.t.Cleanup(s.Close)
	return p, fmt.Sprintf("oci:%s/e2e/disk-%d", s.Listener.Addr(), time.Now().UnixNano())
}

func (j *job) upOn(disk string, args ...string) (u upped) {
	j.t.Helper()
	j.sticky(&u, append([]string{"up", "sticky", "--disk", disk, "--key", "k", "--ref", ""}, args...)...)
	return u
}

// elsewhere is the same user on a machine that has nothing yet.
func (j *job) elsewhere() {
	j.t.Helper()
	j.state = filepath.Join(j.t.TempDir(), "state")
	j.env = append(j.env, "XDG_STATE_HOME="+j.state)
}

const noiseDockerfile = "FROM scratch\nCOPY tool /tool\nCOPY noise /noise\nRUN --mount=type=cache,target=/c [\"/tool\",\"count\",\"/c/n\"]\n"

func TestDiskInARegistry(t *testing.T) {
	j := newJob(t)
	p, disk := j.registryDisk()
	if u := j.upOn(disk); u.Cache != "cold" {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	first := j.down()
	if first.Decision != "commit" || first.Head != first.Generation {
		t.Fatalf("%+v", first)
	}
	j.nothingLeft()

	// Another machine, which has nothing: all of it comes from the registry.
	j.elsewhere()
	p.reset(nil)
	if u := j.upOn(disk); u.Cache != "warm" || u.Generation != first.Generation {
		t.Errorf("%+v", u)
	}
	requests, _ := p.seen()
	t.Logf("fetched by %d requests: %d blobs", len(requests), p.counts("GET", "/blobs/"))
	j.mustBuild()
	j.write("again.Dockerfile", "FROM scratch\nCOPY tool /again\nRUN --mount=type=cache,target=/c [\"/again\",\"count\",\"/c/n\"]\n")
	out, err := j.cmd(j.buildx, "build", "-f", "again.Dockerfile", ".").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "count 2") {
		t.Errorf("the cache mount was lost: %v\n%s", err, out)
	}
	second := j.down()
	if second.Decision != "commit" || second.Parent != first.Generation || second.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", second)
	}

	// The same machine again: nothing is fetched, and a small rebuild sends little more
	// than it has changed.
	p.reset(nil)
	if u := j.upOn(disk); u.Generation != second.Generation {
		t.Errorf("%+v", u)
	}
	if n := p.counts("GET", "/blobs/"); n != 0 {
		t.Errorf("%d blobs were fetched again", n)
	}
	noise := make([]byte, 8<<20)
	if f, err := os.Open("/dev/urandom"); err != nil {
		t.Fatal(err)
	} else if _, err := io.ReadFull(f, noise); err != nil {
		t.Fatal(err)
	}
	j.write("noise", string(noise))
	j.write("noise.Dockerfile", noiseDockerfile)
	j.mustBuild("-f", "noise.Dockerfile")
	changed := int64(len(noise)) // and the databases, which count for nothing here
	p.reset(nil)
	third := j.down()
	if third.Decision != "commit" {
		t.Errorf("%+v", third)
	}
	_, sent := p.seen()
	t.Logf("a rebuild changed %d bytes and its commit sent %d, %.2f of that", changed, sent, float64(sent)/float64(changed))
	if float64(sent) > 1.3*float64(changed) {
		t.Errorf("a rebuild changed %d bytes and its commit sent %d", changed, sent)
	}

	// What nothing was built on is committed with three requests.
	j.upOn(disk)
	p.reset(nil)
	fourth := j.down("--commit", "always")
	if fourth.Decision != "commit" {
		t.Errorf("%+v", fourth)
	}
	requests, sent = p.seen()
	t.Logf("a commit of nothing: %d bytes by %v", sent, requests)
	if len(requests) > 3 || sent > 100_000 {
		t.Error("a commit of nothing is too expensive")
	}
	var v struct{ Sound bool }
	j.sticky(&v, "disk", "verify", "--disk", disk, "--key", "k", "--ref", "")
	if !v.Sound {
		t.Error("the head is not sound")
	}
	if out, err := j.run("docker-stickybuilder", "disk", "rm", "--disk", disk, "--key", "k", "--ref", "", "--all"); err != nil {
		t.Errorf("%v %s", err, out)
	}
	j.nothingLeft()
}

// Whatever a registry does while a job ends, the head is what it was, and what was built
// is not lost.
func TestRegistryFaults(t *testing.T) {
	j := newJob(t)
	p, disk := j.registryDisk()
	j.upOn(disk)
	j.mustBuild()
	j.down()

	// Down for good: the generation stays here, and is uploaded later.
	j.upOn(disk)
	j.mustBuild("--no-cache")
	p.reset(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true })
	out, err := j.run("docker-stickybuilder", "down", "--format", "json")
	if err == nil || !strings.Contains(err.Error(), "disk push") || !strings.Contains(out, `"decision": "pending"`) {
		t.Errorf("%s, %v", out, err)
	}
	p.reset(nil)
	var pushed []struct{ ID, Decision string }
	j.sticky(&pushed, "disk", "push", "--disk", disk)
	if len(pushed) != 1 || pushed[0].Decision != "commit" {
		t.Errorf("%+v", pushed)
	}
	head := pushed[0].ID

	// In trouble for a moment, in every way.
	j.upOn(disk)
	j.mustBuild("--no-cache")
	seen := map[string]int{}
	p.reset(func(w http.ResponseWriter, r *http.Request) bool {
		p.mu.Lock()
		seen[r.Method]++
		n := seen[r.Method]
		p.mu.Unlock()
		switch n {
		case 1:
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.WriteHeader(http.StatusInternalServerError)
		case 3:
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
			panic(http.ErrAbortHandler)
		default:
			return false
		}
		return true
	})
	r := j.down()
	if r.Decision != "commit" || r.Parent != head {
		t.Errorf("%+v", r)
	}
	head = r.Generation

	// The supervisor is killed in the middle of its commit.
	p.reset(nil)
	j.upOn(disk)
	j.mustBuild("--no-cache")
	pid := j.status("sticky").SupervisorPid
	hit := make(chan bool, 1)
	p.reset(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			select {
			case hit <- true:
				_ = syscall.Kill(pid, syscall.SIGKILL)
			default:
			}
		}
		return false
	})
	r = j.down()
	if len(hit) == 0 || r.Decision != "commit" || r.Parent != head {
		t.Errorf("%+v", r)
	}
	head = r.Generation

	// So is an up in the middle of fetching, on another machine.
	j.elsewhere()
	p.reset(nil)
	up := j.cmd("docker-stickybuilder", "up", "sticky", "--disk", disk, "--key", "k", "--ref", "")
	packs, fetching, killed := 0, make(chan struct{}), make(chan struct{})
	p.reset(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			p.mu.Lock()
			packs++
			last := packs == 2
			p.mu.Unlock()
			if last {
				close(fetching)
				<-killed
			}
		}
		return false
	})
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-fetching:
	case <-time.After(time.Minute):
		t.Error("nothing was fetched")
	}
	_ = up.Process.Kill()
	close(killed)
	if err := up.Wait(); err == nil {
		t.Error("the up was not killed")
	}
	p.reset(nil)
	if u := j.upOn(disk); u.Generation != head || u.Cache != "warm" {
		t.Errorf("%+v", u)
	}
	j.mustBuild()
	if r := j.down(); r.Builds[0].CachedSteps != 3 {
		t.Errorf("%+v", r)
	}
	j.nothingLeft()
}

// What cannot work is said before anything changes.
func TestRegistryRefuses(t *testing.T) {
	j := newJob(t)
	p, disk := j.registryDisk()
	p.reset(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	_, err := j.run("docker-stickybuilder", "up", "--disk", disk, "--key", "k")
	if err == nil || !strings.Contains(err.Error(), "--read-only") {
		t.Errorf("no right to push: %v", err)
	}
	if u := j.upOn(disk, "--read-only"); u.Cache != "cold" {
		t.Errorf("%+v", u)
	}
	j.down()
	if _, err := j.run("docker-stickybuilder", "up", "--disk", "oci:127.0.0.1:1/x/y", "--key", "k"); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("nobody there: %v", err)
	}
	j.nothingLeft()
}
