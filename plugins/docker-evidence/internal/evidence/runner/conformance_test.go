package runner_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	buildkitclient "github.com/moby/buildkit/client"
	engine "github.com/moby/moby/client"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/runner"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/runner/buildkit"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/runner/docker"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/suite"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// need returns an environment variable of the testbed. Where there is none the
// test is left out, unless the testbed is promised.
func need(t *testing.T, variable string) string {
	t.Helper()
	v := os.Getenv(variable)
	switch {
	case v != "":
		return v
	case os.Getenv("DOCKERFACTORY_E2E") == "1":
		t.Fatalf("%s is not set", variable)
	}
	t.Skipf("%s is not set: needs the testbed", variable)
	return ""
}

// subject pushes an image of its own, made from the testbed's base, with an
// entry point that must not run.
func subject(t *testing.T) (runner.Subject, v1.Image) {
	t.Helper()
	baseName := need(t, "DOCKERFACTORY_BASE_IMAGE")
	ref, err := name.ParseReference(baseName)
	if err != nil {
		t.Fatal(err)
	}
	base, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.Config(base, v1.Config{
		Env: []string{"GREETING=hello", "PATH=/usr/bin:/bin"}, User: "1000:1000", WorkingDir: "/srv/app",
		Entrypoint: []string{"/bin/false"}, Cmd: []string{"unused"},
		Labels: map[string]string{"unique": fmt.Sprint(time.Now().UnixNano())},
	})
	if err != nil {
		t.Fatal(err)
	}
	tag := ref.Context().Registry.Repo("test", "runner").Tag(fmt.Sprint("t", time.Now().UnixNano()))
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	configName, _ := img.ConfigName()
	return runner.Subject{
		Reference: tag.Context().Digest(manifest.String()).Name(), Manifest: manifest, Config: configName,
		Image: config.Config, Platform: *config.Platform(),
	}, img
}

func TestDocker(t *testing.T) {
	for _, variable := range []string{"DOCKERFACTORY_DOCKER_HOST", "DOCKERFACTORY_OLD_DOCKER_HOST"} {
		t.Run(variable, func(t *testing.T) {
			host := need(t, variable)
			if _, err := os.Stat(strings.TrimPrefix(host, "unix://")); err != nil && strings.Contains(variable, "OLD") && os.Getenv("DOCKERFACTORY_E2E") == "" {
				t.Skip("the old engine is not started")
			}
			client, err := engine.New(engine.WithHost(host))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			s, _ := subject(t)
			conform(t, &docker.Runner{Engine: client, Subject: s})

			if _, err := client.ImageInspect(t.Context(), s.Reference); err == nil {
				t.Error("the image that was pulled is still there")
			}
			left, err := client.ContainerList(t.Context(), engine.ContainerListOptions{
				All: true, Filters: make(engine.Filters).Add("label", wire.LabelEvidenceSubject+"="+s.Manifest.String()),
			})
			if err != nil || len(left.Items) > 0 {
				t.Errorf("containers are left: %v, %v", left.Items, err)
			}
			wrong := s
			wrong.Manifest, wrong.Config = v1.Hash{}, v1.Hash{}
			err = (&docker.Runner{Engine: client, Subject: wrong}).Use(t.Context(), func(context.Context, smoke.Image) error { return nil })
			if err == nil || !strings.Contains(err.Error(), "neither manifest") {
				t.Errorf("an image that is not the subject: %v", err)
			}
		})
	}
}

// daemon returns the address of a BuildKit daemon: the one that is named, or one
// that the test starts.
func daemon(t *testing.T) string {
	t.Helper()
	if host := os.Getenv("DOCKERFACTORY_BUILDKIT_HOST"); host != "" {
		return host
	}
	program := filepath.Join(need(t, "DOCKERFACTORY_TOOLS"), "buildkitd")
	dir := t.TempDir()
	address := "unix://" + filepath.Join(dir, "d.sock")
	cmd := exec.Command(program, "--config", need(t, "DOCKERFACTORY_BUILDKITD_CONFIG"), "--root", filepath.Join(dir, "root"), "--addr", address, "--oci-worker-net", "host")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("buildkitd: %s", log.String())
		}
	})
	for range 100 {
		if _, err := os.Stat(strings.TrimPrefix(address, "unix://")); err == nil {
			return address
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("buildkitd did not start")
	return ""
}

func TestBuildKit(t *testing.T) {
	s, img := subject(t)
	client, err := buildkitclient.New(t.Context(), daemon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	t.Run("registry", func(t *testing.T) { conform(t, &buildkit.Runner{Client: client, Subject: s}) })
	t.Run("layout", func(t *testing.T) {
		dir := t.TempDir()
		path, err := layout.Write(dir, empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		if err := path.AppendImage(img); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadDir(dir)
		local := s
		local.Reference, local.Layout = "", dir
		conform(t, &buildkit.Runner{Client: client, Subject: local})
		if after, _ := os.ReadDir(dir); len(after) != len(before) {
			t.Errorf("the layout has %d entries, had %d", len(after), len(before))
		}
	})
	t.Run("missing image", func(t *testing.T) {
		gone := s
		gone.Reference = strings.Replace(s.Reference, s.Manifest.Hex, strings.Repeat("0", 64), 1)
		err := (&buildkit.Runner{Client: client, Subject: gone}).Use(t.Context(), func(context.Context, smoke.Image) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "making "+gone.Reference+" available") {
			t.Errorf("err = %v", err)
		}
	})
}

// conform checks what smoke.Runner and smoke.Image promise.
func conform(t *testing.T, r smoke.Runner) {
	t.Helper()
	sentinel := errors.New("an answer")
	err := r.Use(t.Context(), func(ctx context.Context, img smoke.Image) error {
		if h := img.Host(); h.OS != "linux" || h.Arch == "" || h.Version == "" || h.Runner == "" {
			t.Errorf("host %+v", h)
		}
		for name, tt := range processes {
			t.Run(name, func(t *testing.T) { tt.check(ctx, t, img) })
		}
		for name, p := range impossible {
			t.Run(name, func(t *testing.T) {
				p.Network, p.Stdout, p.Stderr = suite.NetworkNone, io.Discard, io.Discard
				if exit, err := img.Run(ctx, p); err == nil {
					t.Errorf("exit %d, want an error", exit)
				}
			})
		}
		t.Run("killed at the end of its time", func(t *testing.T) { killed(ctx, t, img) })
		return sentinel
	})
	if !errors.Is(err, sentinel) {
		t.Errorf("Use returned %v, want what its function did", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = r.Use(ctx, func(ctx context.Context, img smoke.Image) error {
		time.AfterFunc(500*time.Millisecond, cancel)
		_, err := img.Run(ctx, smoke.Process{Args: []string{"sleep", "100"}, Network: suite.NetworkNone, Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}})
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

type process struct {
	p      smoke.Process
	exit   int
	stdout string
	stderr string // a part of it
}

func sh(line string) []string { return []string{"/bin/sh", "-c", line} }

var processes = map[string]process{
	"environment, user and directory of the image": {smoke.Process{Args: sh(`echo "$GREETING $(id -u):$(id -g) $PWD"`)}, 0, "hello 1000:1000 /srv/app\n", ""},
	"all of them changed": {smoke.Process{
		Args: sh(`echo "$GREETING $MORE $(id -u) $PWD"`), Env: []string{"GREETING=hi", "MORE=a=b c"}, User: "root", Dir: "/made/for/it",
	}, 0, "hi a=b c 0 /made/for/it\n", ""},
	"exit status":        {smoke.Process{Args: sh("echo out; echo err >&2; exit 42")}, 42, "out\n", "err\n"},
	"status 255":         {smoke.Process{Args: sh("exit 255")}, 255, "", ""},
	"killed by a signal": {smoke.Process{Args: sh("sh -c 'kill -9 $$'")}, 137, "", ""},
	"no such program":    {smoke.Process{Args: []string{"nosuchprogram"}}, smoke.ExitNotFound, "", "nosuchprogram"},
	"no such path":       {smoke.Process{Args: []string{"/no/such"}}, smoke.ExitNotFound, "", "/no/such"},
	"not executable":     {smoke.Process{Args: []string{"/etc/passwd"}}, smoke.ExitNotExecutable, "", "permission denied"},
	"a runtime's words": {
		smoke.Process{Args: sh("echo 'runc run failed: unable to start container process: no such file or directory' >&2; exit 3")}, 3, "", "runc run failed",
	},
	"no input":          {smoke.Process{Args: []string{"cat"}}, 0, "", ""},
	"much output":       {smoke.Process{Args: sh("head -c 3000000 /dev/zero | tr '\\0' x")}, 0, strings.Repeat("x", 3_000_000), ""},
	"no network":        {smoke.Process{Args: sh("tail -n +2 /proc/net/route; ls /sys/class/net 2>/dev/null | grep -v -e lo -e tunl -e gre -e sit -e ip -e erspan -e bond"), User: "root"}, 1, "", ""},
	"a fresh container": {smoke.Process{Args: sh("test ! -e /left && touch /left"), User: "root"}, 0, "", ""},
	"and another":       {smoke.Process{Args: sh("test ! -e /left && touch /left"), User: "root"}, 0, "", ""},
}

// impossible are processes that say nothing about the image: they cannot be.
var impossible = map[string]smoke.Process{
	"no such user":            {Args: []string{"true"}, User: "nosuchuser"},
	"a file as its directory": {Args: []string{"true"}, Dir: "/etc/passwd"},
}

func (c process) check(ctx context.Context, t *testing.T, img smoke.Image) {
	t.Helper()
	var out, errs bytes.Buffer
	p := c.p
	p.Network, p.Stdout, p.Stderr = suite.NetworkNone, &out, &errs
	exit, err := img.Run(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if exit != c.exit || out.String() != c.stdout || !strings.Contains(errs.String(), c.stderr) {
		t.Errorf("exit %d, stdout %.200q (%d bytes), stderr %.300q", exit, out.String(), out.Len(), errs.String())
	}
}

func killed(ctx context.Context, t *testing.T, img smoke.Image) {
	var out bytes.Buffer
	limited, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	start := time.Now()
	_, err := img.Run(limited, smoke.Process{Args: sh("echo begun; sleep 100"), Network: suite.NetworkNone, Stdout: &out, Stderr: &bytes.Buffer{}})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 20*time.Second || out.String() != "begun\n" {
		t.Errorf("err = %v after %s, stdout %q", err, time.Since(start), out.String())
	}
}
