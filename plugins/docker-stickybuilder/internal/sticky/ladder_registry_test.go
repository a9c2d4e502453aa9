package sticky

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A registry that has lost a blob of the head, by retention rules or otherwise: a machine
// that has to fetch it begins with the generation before, and the next one does so at once.
// Where the mark cannot be written, it begins with an empty disk.
func TestLadderOfADiskInARegistry(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("disks are root's")
	}
	var lost, readOnly atomic.Value
	lost.Store("none")
	readOnly.Store(false)
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(lost.Load().(string), path.Base(r.URL.Path)) && strings.Contains(r.URL.Path, "/blobs/"):
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodPut && readOnly.Load().(bool):
			w.WriteHeader(http.StatusForbidden)
		default:
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	machine := func() *generations {
		h, _ := newHost(t)
		g := &generations{host: h, spec: "oci:" + strings.TrimPrefix(server.URL, "http://") + "/disks"}
		g.open(t)
		return g
	}
	layers := func(g *generations, id string) (digests []string) {
		tags, err := http.Get(server.URL + "/v2/disks/tags/list?n=1000")
		if err != nil {
			t.Fatal(err)
		}
		defer tags.Body.Close()
		var list struct{ Tags []string }
		if err := json.NewDecoder(tags.Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
		for _, tag := range list.Tags {
			if !strings.HasSuffix(tag, id) || !strings.Contains(tag, "-gen-") {
				continue
			}
			resp, err := http.Get(server.URL + "/v2/disks/manifests/" + tag)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var m ocispec.Manifest
			if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
				t.Fatal(err)
			}
			for _, l := range m.Layers {
				digests = append(digests, l.Digest.String())
			}
		}
		return digests
	}
	here := machine()
	for range 3 {
		id, err := here.host.newID()
		if err != nil {
			t.Fatal(err)
		}
		l := here.inst.Working.Lineage
		w, lock, err := here.pool.Clone(t.Context(), l, l, id, progress.Discard.Step(""))
		if err != nil {
			t.Fatal(err)
		}
		if !w.Warm() {
			emptyDatabases(t, w.Root)
		}
		data := make([]byte, 100_000)
		_, _ = rand.Read(data)
		if err := os.WriteFile(filepath.Join(w.Root, id), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := here.pool.Commit(t.Context(), w, disk.Generation{}, nil); err != nil {
			t.Fatal(err)
		}
		lock.Close()
		here.ids = append(here.ids, id)
	}
	var gone []string
	before := strings.Join(layers(here, here.ids[1]), " ")
	for _, d := range layers(here, here.ids[2]) {
		if !strings.Contains(before, d) {
			gone = append(gone, d)
		}
	}
	if len(gone) == 0 {
		t.Fatal("nothing to lose")
	}
	lost.Store(strings.Join(gone, " "))
	there := machine()
	if v, err := there.host.VerifyDisk(t.Context(), Choice{Disk: there.spec, Key: "k", Generation: here.ids[2]}, false, progress.Discard); err != nil || v.Sound || len(v.Findings) == 0 {
		t.Errorf("verified: %+v, %v", v, err)
	}
	for _, c := range []struct {
		readOnly bool
		begins   string
		rungs    string
	}{{true, "-", instance.RungCold}, {false, "2", instance.RungRollback}, {false, "2", ""}} {
		readOnly.Store(c.readOnly)
		there := machine()
		there.ids = here.ids
		err := there.climb(t, func(disk.Working) error { return nil })
		var rungs []string
		for _, r := range there.inst.Recovered {
			rungs = append(rungs, r.Rung)
		}
		if got := there.number(there.inst.Working.Parent); err != nil || got != c.begins || strings.Join(rungs, " ") != c.rungs {
			t.Errorf("%+v: began with %s by %v: %v", c, got, rungs, err)
		}
	}
}
