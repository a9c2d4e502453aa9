package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/link"
	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/internal/registry"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
)

// A LinkRow is how long an engine took for one variant of an image over one link.
type LinkRow struct {
	Image    string     `json:"image"`
	Mbps     int64      `json:"mbps"`
	Measured float64    `json:"measured"` // Mb/s that three downloads at once reached
	Variant  string     `json:"variant"`
	Bytes    int64      `json:"bytes"`
	Pulls    []Duration `json:"pulls"`
	// Others is the part of the processors, 0 to 1, that was not the engine's and not
	// idle while it pulled: the registry, the proxy, and what else the machine did.
	Others []float64 `json:"others"`

	Predicted Duration `json:"predicted"`
	Rates     Rates    `json:"rates"` // that the prediction was made with
}

// payload is the part of an Ethernet link's speed that is left for content.
const payload = 0.95

// A variant is the image as it was, or as somebody repacked it.
type variant struct {
	name, repository, tag string
	registry              *registry.Registry
	shape                 bed.Shape
}

// links has the engine pull the source and what was made of it through links of
// several speeds, in turns.
func links(ctx context.Context, b *bed.Bed, o options) ([]LinkRow, error) {
	variants, err := linkVariants(ctx, b, o)
	if err != nil {
		return nil, err
	}
	c, err := newCalibration(ctx, b)
	if err != nil {
		return nil, err
	}
	var out []LinkRow
	for _, mbps := range o.links {
		rows, err := overLink(ctx, b, o, c, mbps, variants)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, b.Results.Empty()
}

func linkVariants(ctx context.Context, b *bed.Bed, o options) ([]variant, error) {
	source, err := b.Source(ctx, o.linkImage)
	if err != nil {
		return nil, err
	}
	repository, tag, _ := strings.Cut(strings.TrimPrefix(source, b.Sources.Addr+"/"), ":")
	out := []variant{{name: "source", repository: repository, tag: tag, registry: b.Sources}}
	if err := b.Results.Empty(); err != nil {
		return nil, err
	}
	layout, err := layoutOf(ctx, b, source)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(layout)
	for _, who := range []string{ours, rivalName} {
		if !o.takesPart(who) {
			continue
		}
		k := named(who)
		work, err := b.Work("work")
		if err != nil {
			return nil, err
		}
		v := variant{name: who, repository: fmt.Sprintf("link/v%d", len(out)), tag: "latest", registry: b.Results}
		if _, err := k.run(ctx, b, job{source, layout, v.ref(b.Results.Addr), work}); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	for i := range out {
		if out[i].shape, err = bed.ShapeOf(out[i].ref(out[i].registry.Addr)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (v variant) ref(addr string) string { return addr + "/" + v.repository + ":" + v.tag }

func overLink(ctx context.Context, b *bed.Bed, o options, c *calibration, mbps int64, variants []variant) ([]LinkRow, error) {
	var rows []LinkRow
	var proxies []*link.Proxy
	clear(c.fastest)
	for _, v := range variants {
		p, err := link.Listen(v.registry.Addr, int64(payload*float64(mbps)*1e6))
		if err != nil {
			return nil, err
		}
		defer p.Close()
		measured, err := throughput(ctx, p.Addr(), v)
		if err != nil {
			return nil, err
		}
		proxies = append(proxies, p)
		rows = append(rows, LinkRow{Image: o.linkImage, Mbps: mbps, Measured: measured, Variant: v.name, Bytes: v.shape.Bytes})
	}
	for range o.repeat {
		if err := c.measure(ctx, b); err != nil {
			return nil, err
		}
		for i, v := range variants {
			if enough(asRuns(rows[i].Pulls), o.repeat, o.enough) {
				continue
			}
			before := b.Load()
			took, err := b.Pull(ctx, v.ref(proxies[i].Addr()))
			if err != nil {
				return nil, err
			}
			others := b.Load().Others(before)
			rows[i].Pulls, rows[i].Others = append(rows[i].Pulls, took), append(rows[i].Others, others)
			b.Log("  %d Mb/s: %s %s, others had %.0f %% of the processors", mbps, v.name, took.Round(10*time.Millisecond), 100*others)
		}
	}
	for i, v := range variants {
		var err error
		rows[i].Rates = ratesOf(c.fastest)
		if rows[i].Predicted, err = predict(ctx, b, v.ref(v.registry.Addr), mbps, rows[i].Rates); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func asRuns(times []Duration) []measure.Usage {
	var out []measure.Usage
	for _, t := range times {
		out = append(out, measure.Usage{Wall: t})
	}
	return out
}

// throughput downloads with three connections at once, as engines do, for at most
// three seconds, and returns how many megabits a second came through.
func throughput(ctx context.Context, addr string, v variant) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var digest string
	for d, size := range v.shape.Blobs {
		if size == v.shape.Largest {
			digest = d
		}
	}
	var total int64
	var mu sync.Mutex
	var all sync.WaitGroup
	start := time.Now()
	client := &http.Client{Transport: &http.Transport{Proxy: nil}}
	defer client.CloseIdleConnections()
	for range 3 {
		all.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+path.Join(addr, "v2", v.repository, "blobs", digest), nil)
			if err != nil {
				return
			}
			resp, err := client.Do(req)
			if err != nil {
				return
			}
			defer resp.Body.Close()
			n, _ := io.Copy(io.Discard, resp.Body) // cut short by the timeout
			mu.Lock()
			total += n
			mu.Unlock()
		})
	}
	all.Wait()
	if total == 0 {
		return 0, fmt.Errorf("measuring the link: nothing came through")
	}
	return float64(total) * 8 / 1e6 / time.Since(start).Seconds(), nil
}

func linksMarkdown(rows []LinkRow) string {
	base := map[int64]time.Duration{}
	for _, r := range rows {
		if r.Variant == ours {
			base[r.Mbps] = average(r.Pulls)
		}
	}
	var cells [][]string
	for _, r := range rows {
		took := average(r.Pulls)
		cells = append(cells, []string{
			fmt.Sprintf("%d Mb/s: %s", r.Mbps, r.Variant), fmt.Sprintf("%.0f", r.Measured), markdown.MB(r.Bytes),
			markdown.Seconds(took), markdown.Ratio(took, base[r.Mbps]), markdown.Seconds(r.Predicted), markdown.Ratio(r.Predicted, took),
			fmt.Sprintf("%.0f %%", 100*mean(r.Others)),
		})
	}
	out := markdown.Table([]string{rows[0].Image, "link Mb/s, measured", "MB", "pull s", "", "predicted s", "predicted / real", "CPU of others"}, cells)
	for i, r := range rows {
		if i == 0 || r.Mbps != rows[i-1].Mbps {
			out += fmt.Sprintf("\nRates of this machine during the pulls at %d Mb/s:\n\n%s", r.Mbps, r.Rates.markdown())
		}
	}
	return out
}

// average of pulls: engines begin layers in no order, so one may be lucky.
func average(list []time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range list {
		sum += d
	}
	return sum / time.Duration(max(len(list), 1))
}

func mean(list []float64) float64 {
	sum := 0.0
	for _, x := range list {
		sum += x
	}
	return sum / float64(max(len(list), 1))
}
