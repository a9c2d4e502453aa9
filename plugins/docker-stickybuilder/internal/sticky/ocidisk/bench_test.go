package ocidisk_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/dirpool"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/disk"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/ocidisk"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A link is what all answers of a registry share, in bytes for each second; 0 for no bound.
type link struct {
	http.ResponseWriter
	rate int64
	mu   *sync.Mutex
	free *time.Time
}

func (l link) Write(b []byte) (int, error) {
	if l.rate > 0 {
		l.mu.Lock()
		if now := time.Now(); l.free.Before(now) {
			*l.free = now
		}
		*l.free = l.free.Add(time.Duration(len(b)) * time.Second / time.Duration(l.rate))
		wait := time.Until(*l.free)
		l.mu.Unlock()
		time.Sleep(wait)
	}
	return l.ResponseWriter.Write(b)
}

// BenchmarkRestore fetches a disk over links of several speeds, and the same blobs with
// nothing done to them: "of-link" is how much of the link is used. It takes
// DOCKERFACTORY_REGISTRY if that is set.
func BenchmarkRestore(b *testing.B) {
	for _, mbit := range []int64{200, 1000, 2500, 0} {
		b.Run(fmt.Sprintf("%dMbit", mbit), func(b *testing.B) { benchmarkRestore(b, mbit*1e6/8) })
	}
}

func benchmarkRestore(b *testing.B, rate int64) {
	if os.Geteuid() != 0 {
		b.Skip("disks are root's")
	}
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithBlobHandler(ggcr.NewDiskBlobHandler(b.TempDir())))
	if host := os.Getenv("DOCKERFACTORY_REGISTRY"); host != "" {
		inner = &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: host}); r.Out.Host = r.In.Host }}
	}
	var mu sync.Mutex
	var free time.Time
	requests := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		requests++
		mu.Unlock()
		inner.ServeHTTP(link{w, rate, &mu, &free}, r)
	}))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	n := 0
	clone := func(dir string) (*disk.Working, int64) {
		n++
		d := open(b, host, dir, func(o *ocidisk.Options) { o.Pool = dirpool.Options{Image: true, Mkfs: "/sbin/mkfs.btrfs"} })
		defer d.Close()
		id := disk.NewID(time.Now(), fmt.Appendf(nil, "%06d", n))
		w, lock, err := d.Clone(b.Context(), lineage, lineage, id, progress.Discard.Step(""))
		if err != nil {
			b.Fatal(err)
		}
		defer lock.Close()
		if n > 1 {
			return w, 0
		}
		job{Working: w}.sources(b, 1)
		if _, err := d.Commit(b.Context(), w, disk.Generation{}, nil); err != nil {
			b.Fatal(err)
		}
		bytes, err := d.Measure(b.Context(), lineage, id)
		if err != nil {
			b.Fatal(err)
		}
		return w, bytes
	}
	_, size := clone(b.TempDir())
	blobs := layers(b, host)
	var restoring, fetching time.Duration
	for b.Loop() {
		began := time.Now()
		raw := fetch(b, host, blobs)
		fetching += time.Since(began)
		dir := b.TempDir()
		requests = 0
		began = time.Now()
		clone(dir)
		restoring += time.Since(began)
		b.ReportMetric(float64(requests)/(float64(size)/1e9), "requests/GB")
		b.ReportMetric(float64(raw)/1e6, "MB-sent")
		os.RemoveAll(dir)
	}
	b.ReportMetric(float64(size)*float64(b.N)/1e6/restoring.Seconds(), "MB/s")
	b.ReportMetric(fetching.Seconds()/restoring.Seconds(), "of-link")
}

// sources writes what a build of some size leaves, or a part of that.
func (j job) sources(b *testing.B, part int) {
	for i := range 8000 / part { // source trees, packages
		j.write(b, fmt.Sprintf("w/snapshots/snapshots/%d/fs/%d", i%40, i), text(i, 2000+i*3*part))
	}
	for i := range 40 / part { // binaries
		j.write(b, fmt.Sprintf("w/snapshots/snapshots/%d/fs/big", i), append(random(i, 6<<20), text(i, 6<<20)...))
	}
}

// BenchmarkFirstCommit sends a disk of which the registry has nothing.
func BenchmarkFirstCommit(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("disks are root's")
	}
	var size int64
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		s := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
		dir := b.TempDir()
		d := open(b, strings.TrimPrefix(s.URL, "http://"), dir, nil)
		id := disk.NewID(time.Now(), fmt.Appendf(nil, "%06d", n))
		w, lock, err := d.Clone(b.Context(), lineage, lineage, id, progress.Discard.Step(""))
		if err != nil {
			b.Fatal(err)
		}
		job{Working: w}.sources(b, 4)
		b.StartTimer()
		if _, err := d.Commit(b.Context(), w, disk.Generation{}, nil); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if size, err = d.Measure(b.Context(), lineage, id); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(size)
		lock.Close()
		s.Close()
		os.RemoveAll(dir)
		b.StartTimer()
	}
}

// text compresses as sources do.
func text(seed, n int) []byte {
	words := strings.Fields("func return if err nil for range import package struct string int error var const type map interface go defer")
	out := make([]byte, 0, n+20)
	for i, r := 0, random(seed, n/4+8); len(out) < n; i++ {
		out = append(out, words[int(r[i%len(r)])%len(words)]...)
		out = append(out, " \n\t("[i%4])
		out = fmt.Appendf(out, "%x", r[i%len(r)])
	}
	return out[:n]
}

func layers(b *testing.B, host string) (out []ocispec.Descriptor) {
	b.Helper()
	get := func(path string, v any) {
		resp, err := http.Get("http://" + host + "/v2/team/disks/" + path)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
			b.Fatal(err)
		}
	}
	var tags struct{ Tags []string }
	get("tags/list", &tags)
	for _, t := range tags.Tags {
		if strings.HasSuffix(t, "-head") {
			var m ocispec.Manifest
			get("manifests/"+t, &m)
			out = m.Layers
		}
	}
	return out
}

// fetch gets all blobs, eight at once, and forgets them.
func fetch(b *testing.B, host string, blobs []ocispec.Descriptor) (total int64) {
	b.Helper()
	var g errgroup.Group
	g.SetLimit(8)
	for _, d := range blobs {
		total += d.Size
		g.Go(func() error {
			resp, err := http.Get("http://" + host + "/v2/team/disks/blobs/" + d.Digest.String())
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return total
}
