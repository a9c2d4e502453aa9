package build_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	mobyclient "github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/build"
)

// A solver stands for the daemon: it sends status, looks at what it is asked, and
// answers with err or with response.
type solver struct {
	status   []*client.SolveStatus
	response map[string]string
	err      error
	asked    client.SolveOpt
	export   []byte
}

func (s *solver) Solve(ctx context.Context, _ *llb.Definition, opt client.SolveOpt, ch chan *client.SolveStatus) (*client.SolveResponse, error) {
	defer close(ch)
	s.asked = opt
	for _, st := range s.status {
		ch <- st
	}
	if s.export != nil {
		w, err := opt.Exports[0].Output(nil)
		if err != nil {
			return nil, err
		}
		_, err = w.Write(s.export)
		if err = errors.Join(err, w.Close()); err != nil {
			return nil, err
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	return &client.SolveResponse{ExporterResponse: s.response}, ctx.Err()
}

func run(t *testing.T, s *solver, o build.Options) (build.Result, int, error) {
	t.Helper()
	ch, seen, done := make(chan *client.SolveStatus), 0, make(chan struct{})
	go func() {
		for range ch {
			seen++
		}
		close(done)
	}()
	if o.Context == "" {
		o.Context = t.TempDir()
	}
	now := time.Unix(0, 0)
	r, err := build.Run(t.Context(), s, o, ch, func() time.Time { now = now.Add(2 * time.Second); return now })
	<-done
	return r, seen, err
}

func vertex(name string, cached bool) *client.SolveStatus {
	return &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: digest.FromString(name), Name: name, Inputs: []digest.Digest{"base"}, Cached: cached}}}
}

func TestStepsAreCountedOnce(t *testing.T) {
	s := &solver{
		status:   []*client.SolveStatus{vertex("a", false), vertex("a", true), vertex("b", false), vertex("b", false), vertex("a", true)},
		response: map[string]string{"containerimage.digest": "sha256:1", "containerimage.config.digest": "sha256:2"},
	}
	r, seen, err := run(t, s, build.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Steps != 2 || r.Cached != 1 || r.Digest != "sha256:1" || r.Config != "sha256:2" || r.Took != 2*time.Second || seen != 5 {
		t.Errorf("got %+v, %d statuses", r, seen)
	}
}

func TestFailuresNameTheLine(t *testing.T) {
	source := &errdefs.Source{Info: &pb.SourceInfo{Filename: "Dockerfile"}, Ranges: []*pb.Range{{Start: &pb.Position{Line: 7}}}}
	s := &solver{err: fmt.Errorf("failed to solve: %w", errdefs.WithSource(errors.New("process \"x\" did not complete"), source))}
	_, _, err := run(t, s, build.Options{})
	var at *build.Error
	if !errors.As(err, &at) || at.Line != 7 || err.Error() != `process "x" did not complete` {
		t.Errorf("got %v", err)
	}
	s = &solver{err: errors.New("failed to solve: rpc error: code = Unknown desc = no such image")}
	_, _, err = run(t, s, build.Options{})
	if !errors.As(err, &at) || at.Line != 0 || err.Error() != "no such image" {
		t.Errorf("got %v", err)
	}
}

func TestExports(t *testing.T) {
	for name, tt := range map[string]struct {
		o    build.Options
		want string
	}{
		"none":         {build.Options{Tags: []string{"a"}}, ""},
		"push":         {build.Options{Push: true, Tags: []string{"ghcr.io/o/a:1", "b"}}, "image map[name:ghcr.io/o/a:1,docker.io/library/b:latest push:true]"},
		"loopback":     {build.Options{Push: true, Tags: []string{"127.0.0.1:5000/a"}}, "image map[name:127.0.0.1:5000/a:latest push:true registry.insecure:true]"},
		"localhost":    {build.Options{Push: true, Tags: []string{"localhost:5000/a"}}, "image map[name:localhost:5000/a:latest push:true registry.insecure:true]"},
		"ipv6":         {build.Options{Push: true, Tags: []string{"[::1]:5000/a"}}, "image map[name:[::1]:5000/a:latest push:true registry.insecure:true]"},
		"engine":       {build.Options{Store: true, OwnEngine: true, Tags: []string{"a"}}, "moby map[name:docker.io/library/a:latest]"},
		"load":         {build.Options{Load: func() (io.WriteCloser, error) { return nil, nil }, Tags: []string{"a"}}, "docker map[name:docker.io/library/a:latest]"},
		"no tag":       {build.Options{Push: true}, "error: there is no tag to push to"},
		"both kinds":   {build.Options{Push: true, Tags: []string{"localhost:1/a", "a"}}, "error: tags in registries on this machine and elsewhere cannot be pushed by one build"},
		"two to load":  {build.Options{Load: func() (io.WriteCloser, error) { return nil, nil }, Platforms: []string{"a", "b"}}, "error: an engine takes one platform at a time, not a, b"},
		"bad tag":      {build.Options{Push: true, Tags: []string{"A"}}, `error: parsing tag "A"`},
		"load and arg": {build.Options{Store: true, Tags: []string{"a", "b:2"}}, "image map[name:docker.io/library/a:latest,docker.io/library/b:2]"},
	} {
		s := &solver{}
		_, _, err := run(t, s, tt.o)
		got := ""
		if err != nil {
			got = "error: " + err.Error()
		} else if len(s.asked.Exports) > 0 {
			got = fmt.Sprint(s.asked.Exports[0].Type, " ", s.asked.Exports[0].Attrs)
		}
		if !strings.HasPrefix(got, tt.want) || (tt.want == "" && got != "") {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

func TestAttributes(t *testing.T) {
	s := &solver{}
	_, _, err := run(t, s, build.Options{
		Dockerfile: []byte("FROM x\n"), Platforms: []string{"linux/amd64", "linux/arm64"}, Target: "final", NoCache: true,
		BuildArgs: map[string]string{"SOURCE_DATE_EPOCH": "0"}, Provenance: "min",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "map[attest:provenance:mode=min build-arg:SOURCE_DATE_EPOCH:0 filename:Dockerfile no-cache: platform:linux/amd64,linux/arm64 target:final]"
	if got := fmt.Sprint(s.asked.FrontendAttrs); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	f, err := s.asked.LocalMounts["dockerfile"].Open("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if data, _ := io.ReadAll(f); string(data) != "FROM x\n" {
		t.Errorf("the daemon gets %q", data)
	}
}

type engine struct {
	got    []byte
	answer string
	err    error
}

func (e *engine) ImageLoad(_ context.Context, r io.Reader, _ ...mobyclient.ImageLoadOption) (mobyclient.ImageLoadResult, error) {
	if e.err != nil {
		return nil, e.err
	}
	e.got, _ = io.ReadAll(r)
	return io.NopCloser(strings.NewReader(e.answer)), nil
}

func TestLeftOutOfTheContext(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/Dockerfile", "a/b", "c/Dockerfile"} {
		_ = os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &solver{}
	if _, _, err := run(t, s, build.Options{Context: dir, LeaveOut: []string{"a/Dockerfile", "c", "c/Dockerfile"}}); err != nil {
		t.Fatal(err)
	}
	var seen []string
	err := s.asked.LocalMounts["context"].Walk(t.Context(), "", func(name string, _ fs.DirEntry, err error) error {
		seen = append(seen, filepath.ToSlash(name))
		return err
	})
	if got := strings.Join(seen, " "); err != nil || got != "a a/b" {
		t.Errorf("the daemon sees %q, %v", got, err)
	}
}

// Equal inputs and an equal SOURCE_DATE_EPOCH give equal layers.
func TestEpochReachesTheLayers(t *testing.T) {
	for epoch, want := range map[string]string{"": "", "1": "true"} {
		s := &solver{}
		o := build.Options{Push: true, Tags: []string{"127.0.0.1:5000/a:1"}, BuildArgs: map[string]string{"SOURCE_DATE_EPOCH": epoch}}
		if _, _, err := run(t, s, o); err != nil {
			t.Fatal(err)
		}
		if got := s.asked.Exports[0].Attrs["rewrite-timestamp"]; got != want {
			t.Errorf("epoch %q: got %q, want %q", epoch, got, want)
		}
	}
}

func TestLoad(t *testing.T) {
	archive := bytes.Repeat([]byte("x"), 1<<20)
	for name, tt := range map[string]struct {
		engine engine
		want   string
	}{
		"taken":   {engine{answer: `{"stream":"Loaded image"}`}, ""},
		"refused": {engine{answer: `{"error":"no space left"}`}, "loading the image into the engine: no space left"},
		"down":    {engine{err: errors.New("cannot connect")}, "loading the image into the engine: cannot connect"},
	} {
		e := &tt.engine
		open, wait := build.LoadInto(t.Context(), e)
		_, _, err := run(t, &solver{export: archive}, build.Options{Load: open})
		err = wait(err)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		if tt.want == "" && !bytes.Equal(e.got, archive) {
			t.Errorf("%s: the engine got %d bytes", name, len(e.got))
		}
	}
	_, wait := build.LoadInto(t.Context(), &engine{})
	if err := wait(errors.New("build failed")); err == nil || err.Error() != "build failed" {
		t.Errorf("got %v", err)
	}
}
