package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/dockerfactory/dockerfactory/bench/internal/link"
	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/bed"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/meter"
)

// A Registry is what a disk in a registry takes to be written and read.
type Registry struct {
	First    Commit    `json:"first"`
	Rebuild  Commit    `json:"rebuild"` // after a build that wrote Changed
	Changed  int64     `json:"changed"` // bytes
	Nothing  Commit    `json:"nothing"` // after a job that built nothing
	Restores []Restore `json:"restores"`
}

// A Commit is one down.
type Commit struct {
	Wall  time.Duration `json:"wall"`
	Bytes int64         `json:"bytes"` // of the whole disk
	meter.Count
}

// A Restore is one up on a machine that has nothing, beside fetching the same blobs.
type Restore struct {
	Mbps   int64         `json:"mbps"` // of the link, 0 for an unshaped one
	Up     time.Duration `json:"up"`
	Clone  time.Duration `json:"clone"` // within up
	Raw    time.Duration `json:"raw"`   // eight GETs at a time that throw away what they get
	Stored int64         `json:"stored"`
	meter.Count
}

const rebuilt = 8 << 20 // bytes in one file; 20 small ones come on top

// inRegistry writes a disk to the store and reads it back over links.
func inRegistry(ctx context.Context, b *bed.Bed, o options) (r *Registry, err error) {
	p, err := newPlace(b)
	if err != nil {
		return nil, err
	}
	defer p.meter.Close()
	defer func() {
		if err != nil {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			_, _ = stickyDown(stop, b, "--commit", "never", "--drain-timeout", "0s")
		}
		err = errors.Join(err, b.Store.Empty())
	}()
	if err := b.Store.Empty(); err != nil {
		return nil, err
	}
	r = &Registry{Changed: rebuilt + 20*1000}
	disk := "oci:" + p.meter.Addr() + "/disks"
	// Half of it does not compress; the other half is text.
	half := int64(o.stored * 1e9 / 2)
	first := fmt.Sprintf("FROM %s\nRUN head -c %d /dev/urandom > /random\nRUN seq 1 1000000000 | head -c %d | split -b 40000 -a 5 - /srv/f\n", b.Base, half, half)
	rebuild := first + fmt.Sprintf("RUN head -c %d /dev/urandom > /new && mkdir /n && for i in $(seq 20); do head -c 1000 /dev/urandom > /n/$i; done\n", rebuilt)
	for i, dockerfile := range []string{first, rebuild, ""} {
		commit, err := buildAndCommit(ctx, b, p, disk, dockerfile, i == 0)
		if err != nil {
			return nil, err
		}
		*[]*Commit{&r.First, &r.Rebuild, &r.Nothing}[i] = commit
		b.Log("  commit %d: %s, %d requests, %s MB sent", i+1, round(commit.Wall), commit.Requests, markdown.MB(commit.Sent))
	}
	for range o.repeat {
		for _, mbps := range append([]int64{0}, o.links...) {
			one, err := restore(ctx, b, p, mbps)
			if err != nil {
				return nil, err
			}
			r.Restores = append(r.Restores, one)
			b.Log("  over %d Mb/s: up %s, of which clone %s; raw %s", mbps, round(one.Up), round(one.Clone), round(one.Raw))
		}
	}
	return r, nil
}

// buildAndCommit runs a job; the first one on a machine that has nothing yet.
func buildAndCommit(ctx context.Context, b *bed.Bed, p place, disk, dockerfile string, fresh bool) (Commit, error) {
	if fresh {
		for _, dir := range []string{"state", "docker"} {
			if _, err := b.Work(dir); err != nil {
				return Commit{}, err
			}
		}
	}
	if _, _, err := stickyUp(ctx, b, disk, p.toml); err != nil {
		return Commit{}, err
	}
	if dockerfile != "" {
		src, err := b.Work("src")
		if err != nil {
			return Commit{}, err
		}
		if err := writeFiles(src, map[string]string{"Dockerfile": dockerfile}); err != nil {
			return Commit{}, err
		}
		if _, err := b.Run(ctx, b.Buildx, "build", "--builder", builderName, "--progress", "plain", src); err != nil {
			return Commit{}, err
		}
	}
	p.meter.Reset()
	down, err := stickyDown(ctx, b, "--commit", "always")
	if err != nil {
		return Commit{}, err
	}
	c := Commit{Wall: down.wall, Count: p.meter.Reset()}
	c.Bytes, err = headSize(ctx, b, disk)
	return c, err
}

// headSize is the size of the files of the newest generation. Down tells it only where it
// is quick to measure.
func headSize(ctx context.Context, b *bed.Bed, disk string) (int64, error) {
	var of struct{ Generations []struct{ Bytes int64 } }
	if _, err := call(ctx, b, &of, "disk", "inspect", "--disk", disk, "--key", "bench", "--ref", ""); err != nil {
		return 0, err
	}
	if len(of.Generations) == 0 || of.Generations[0].Bytes == 0 {
		return 0, fmt.Errorf("measuring the head of %s: disk inspect does not tell its size", disk)
	}
	return of.Generations[0].Bytes, nil
}

// restore brings up a builder on a machine that has nothing, through a meter before a
// link of its own, and then fetches the same blobs over the link.
func restore(ctx context.Context, b *bed.Bed, p place, mbps int64) (Restore, error) {
	out := Restore{Mbps: mbps}
	addr := b.Store.Addr
	if mbps > 0 {
		l, err := link.Listen(b.Store.Addr, mbps*1e6)
		if err != nil {
			return out, err
		}
		defer l.Close()
		addr = l.Addr()
	}
	m := meter.Listen(addr)
	defer m.Close()
	for _, dir := range []string{"state", "docker"} {
		if _, err := b.Work(dir); err != nil {
			return out, err
		}
	}
	u, usage, err := stickyUp(ctx, b, "oci:"+m.Addr()+"/disks", p.toml, "--read-only")
	if err != nil {
		return out, err
	}
	if u.Cache != "warm" {
		return out, fmt.Errorf("restoring: the disk is %s", u.Cache)
	}
	out.Up, out.Clone, out.Count = usage.Wall, time.Duration(u.Clone.Milliseconds)*time.Millisecond, m.Reset()
	if _, err := stickyDown(ctx, b, "--commit", "never"); err != nil {
		return out, err
	}
	out.Raw, out.Stored, err = fetchHead(ctx, m.Addr())
	return out, errors.Join(err, os.RemoveAll(filepath.Join(b.Scratch, "state")))
}

// fetchHead gets all blobs of the newest generation, eight at a time.
func fetchHead(ctx context.Context, addr string) (time.Duration, int64, error) {
	base := "http://" + addr + "/v2/disks/"
	client := &http.Client{Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	var tags struct{ Tags []string }
	if err := getJSON(ctx, client, base+"tags/list", &tags); err != nil {
		return 0, 0, err
	}
	var head ocispec.Manifest
	for _, t := range tags.Tags {
		if strings.HasSuffix(t, "-head") {
			if err := getJSON(ctx, client, base+"manifests/"+t, &head); err != nil {
				return 0, 0, err
			}
		}
	}
	if len(head.Layers) == 0 {
		return 0, 0, fmt.Errorf("fetching the head: no tag of %v is one", tags.Tags)
	}
	start := time.Now()
	var total int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, d := range head.Layers {
		total += d.Size
		g.Go(func() error {
			body, err := get(ctx, client, base+"blobs/"+d.Digest.String())
			if err != nil {
				return err
			}
			defer body.Close()
			_, err = io.Copy(io.Discard, body)
			return err
		})
	}
	err := g.Wait()
	return time.Since(start), total, err
}

func getJSON(ctx context.Context, client *http.Client, url string, v any) error {
	body, err := get(ctx, client, url)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(v)
}

func get(ctx context.Context, client *http.Client, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("fetching %s: %s", url, resp.Status)
	}
	return resp.Body, nil
}
