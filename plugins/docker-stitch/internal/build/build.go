// Package build sends a rendered Dockerfile to a BuildKit daemon and maps what
// comes back, errors above all, to the files that the Dockerfile was made from.
//
// The Dockerfile itself is never written to disk; the build context is the
// project's directory, from which the daemon leaves out what .dockerignore names.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/util/staticfs"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

// A Solver runs builds: *client.Client.
type Solver interface {
	Solve(ctx context.Context, def *llb.Definition, opt client.SolveOpt, status chan *client.SolveStatus) (*client.SolveResponse, error)
}

// Options say what to build and where the image goes. Exactly one of Push, Load
// and Store may be set; with none, the result stays in the daemon's cache.
type Options struct {
	Dockerfile []byte
	Context    string   // directory
	LeaveOut   []string // paths in the context that the daemon does not get to see
	Platforms  []string
	Tags       []string
	Target     string
	NoCache    bool
	BuildArgs  map[string]string
	// Provenance is the attestation's mode, "min" or "max"; "" for none.
	Provenance string

	Push  bool
	Load  func() (io.WriteCloser, error) // takes a docker archive
	Store bool                           // the daemon is the user's engine: keep the image there

	// OwnEngine is set where the daemon is part of an engine, whose exporter has
	// another name.
	OwnEngine bool
	Session   []session.Attachable
}

// A Result is what a build came to.
type Result struct {
	Digest   string            // of the image or index; "" if none was exported
	Config   string            // digest of the image's config, if known
	Response map[string]string // all that the exporter says
	Cached   int
	Steps    int
	Took     time.Duration
}

// Name of the Dockerfile towards the daemon; it appears in its messages.
const filename = "Dockerfile"

const (
	engineExporter  = "moby" // what an engine's exporter of images is called
	sourceDateEpoch = "SOURCE_DATE_EPOCH"
)

// Run builds. status takes the progress and is closed in the end; now is the
// clock. The error of a failed build is an *Error.
func Run(ctx context.Context, s Solver, o Options, status chan *client.SolveStatus, now func() time.Time) (Result, error) {
	opt, err := o.solve()
	if err != nil {
		close(status)
		return Result{}, err
	}
	count := newCounter(status)
	began := now()
	response, err := s.Solve(ctx, nil, opt, count.in)
	cached, steps := count.wait()
	if err != nil {
		if ctx.Err() != nil {
			return Result{}, context.Cause(ctx)
		}
		return Result{}, located(err)
	}
	r := Result{Response: response.ExporterResponse, Cached: cached, Steps: steps, Took: now().Sub(began)}
	r.Digest = r.Response[exptypes.ExporterImageDigestKey]
	r.Config = r.Response[exptypes.ExporterImageConfigDigestKey]
	return r, nil
}

func (o Options) solve() (client.SolveOpt, error) {
	dir, err := o.context()
	if err != nil {
		return client.SolveOpt{}, fmt.Errorf("opening build context %s: %w", o.Context, err)
	}
	text := staticfs.NewFS()
	text.Add(filename, &types.Stat{Mode: 0o644}, o.Dockerfile)
	export, err := o.export()
	if err != nil {
		return client.SolveOpt{}, err
	}
	attrs := map[string]string{"filename": filename}
	if len(o.Platforms) > 0 {
		attrs["platform"] = strings.Join(o.Platforms, ",")
	}
	if o.Target != "" {
		attrs["target"] = o.Target
	}
	if o.NoCache {
		attrs["no-cache"] = ""
	}
	for _, k := range slices.Sorted(maps.Keys(o.BuildArgs)) {
		attrs["build-arg:"+k] = o.BuildArgs[k]
	}
	if o.Provenance != "" {
		attrs["attest:provenance"] = "mode=" + o.Provenance
	}
	return client.SolveOpt{
		Frontend:      "dockerfile.v0",
		FrontendAttrs: attrs,
		LocalMounts:   map[string]fsutil.FS{"context": dir, "dockerfile": text},
		Exports:       export,
		Session:       o.Session,
	}, nil
}

func (o Options) context() (fsutil.FS, error) {
	dir, err := fsutil.NewFS(o.Context)
	if err != nil || len(o.LeaveOut) == 0 {
		return dir, err
	}
	return fsutil.NewFilterFS(dir, &fsutil.FilterOpt{Map: func(name string, _ *types.Stat) fsutil.MapResult {
		if slices.Contains(o.LeaveOut, filepath.ToSlash(name)) {
			return fsutil.MapResultExclude
		}
		return fsutil.MapResultKeep
	}})
}

func (o Options) export() ([]client.ExportEntry, error) {
	if !o.Push && !o.Store && o.Load == nil {
		return nil, nil
	}
	names, insecure, err := o.names()
	if err != nil {
		return nil, err
	}
	e := client.ExportEntry{Type: client.ExporterImage, Attrs: map[string]string{"name": strings.Join(names, ",")}}
	switch {
	case o.Push:
		if len(names) == 0 {
			return nil, errors.New("there is no tag to push to")
		}
		e.Attrs["push"] = "true"
		if insecure {
			e.Attrs["registry.insecure"] = "true"
		}
	case o.Load != nil:
		if len(o.Platforms) > 1 {
			return nil, fmt.Errorf("an engine takes one platform at a time, not %s", strings.Join(o.Platforms, ", "))
		}
		e.Type = client.ExporterDocker
		e.Output = func(map[string]string) (io.WriteCloser, error) { return o.Load() }
	}
	if o.OwnEngine && e.Type == client.ExporterImage {
		e.Type = engineExporter
	}
	if o.BuildArgs[sourceDateEpoch] != "" && e.Type != engineExporter {
		// The times of files in the layers, not only those in the config.
		e.Attrs["rewrite-timestamp"] = "true"
	}
	return []client.ExportEntry{e}, nil
}

var _ filesync.FileOutputFunc = client.ExportEntry{}.Output

// names returns the tags in full, and whether they lie in registries on this very
// machine, which speak plain HTTP.
func (o Options) names() (names []string, insecure bool, err error) {
	for i, t := range o.Tags {
		named, err := reference.ParseNormalizedNamed(t)
		if err != nil {
			return nil, false, fmt.Errorf("parsing tag %q: %w", t, err)
		}
		local := isLoopback(reference.Domain(named))
		if i > 0 && local != insecure {
			return nil, false, errors.New("tags in registries on this machine and elsewhere cannot be pushed by one build")
		}
		insecure = local
		names = append(names, reference.TagNameOnly(named).String())
	}
	return names, insecure, nil
}

func isLoopback(domain string) bool {
	host, _, err := net.SplitHostPort(domain)
	if err != nil {
		host = domain
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
