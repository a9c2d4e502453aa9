package testbed

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

func program(t *testing.T, path, script string) {
	t.Helper()
	write(t, path, "#!/bin/sh\n"+script+"\n")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// What a shell makes of the exports is what counts.
func TestExports(t *testing.T) {
	e := Env{ToolsDir: "/it's/a dir", Registry: "127.0.0.1:5000", BuildkitdConfig: "/c/$HOME/buildkitd.toml"}
	script := e.Exports("/usr/bin::/it's/a dir:/usr/sbin") +
		`printf '%s\n' "$PATH" "$DOCKERFACTORY_TOOLS" "$DOCKERFACTORY_REGISTRY" "$DOCKERFACTORY_BUILDKITD_CONFIG" "[$DOCKERFACTORY_DOCKER_HOST]"`
	out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "/it's/a dir:/usr/bin:/usr/sbin:/usr/local/sbin:/sbin\n/it's/a dir\n127.0.0.1:5000\n/c/$HOME/buildkitd.toml\n[]\n"
	if string(out) != want {
		t.Errorf("the shell has\n%s\nnot\n%s", out, want)
	}
}

func TestEnvOfATestbedThatIsDown(t *testing.T) {
	b, _ := openBed(t)
	down := func(what string) {
		t.Helper()
		if e, err := b.Dirs.Env(t.Context()); err == nil || !strings.Contains(err.Error(), "it is not up") {
			t.Errorf("%s: %+v, %v", what, e, err)
		}
	}
	down("nothing was ever up")
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(registry.New())
	b.State.Registry = strings.TrimPrefix(srv.URL, "http://")
	b.State.Processes["registry"] = self
	b.State.Tools = "/tools"
	if err := b.save(); err != nil {
		t.Fatal(err)
	}
	if e, err := b.Dirs.Env(t.Context()); err != nil || e.Registry != b.State.Registry || e.ToolsDir != "/tools" {
		t.Errorf("up: %+v, %v", e, err)
	}
	for host, want := range map[string]string{"unix://" + b.socket("docker"): "", "tcp://theirs": "tcp://theirs"} {
		b.State.Engine, b.State.OldEngine = host, "unix://"+b.socket("old-docker")
		if e := b.env(b.State); e.DockerHost != want || e.OldDockerHost != "" {
			t.Errorf("of engines that ended: %q %q, want %q", e.DockerHost, e.OldDockerHost, want)
		}
	}
	srv.Close()
	down("the registry does not answer")
}

func TestDefaultDirs(t *testing.T) {
	env := func(kv ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(kv); i += 2 {
				if kv[i] == name {
					return kv[i+1]
				}
			}
			return ""
		}
	}
	for want, getenv := range map[string]func(string) string{
		"/c":                      env("DOCKERFACTORY_CACHE", "/c", "XDG_CACHE_HOME", "/x", "HOME", "/h"),
		"/x/dockerfactory":        env("XDG_CACHE_HOME", "/x", "HOME", "/h"),
		"/h/.cache/dockerfactory": env("HOME", "/h"),
	} {
		d, err := DefaultDirs(getenv)
		if err != nil || d.Cache != want {
			t.Errorf("%s, %v, want %s", d.Cache, err, want)
		}
		if fi, err := os.Stat(filepath.Join(d.Source, "testbed", "tools")); err != nil || !fi.IsDir() {
			t.Errorf("the checkout was not found: %q", d.Source)
		}
	}
	if _, err := DefaultDirs(env()); err == nil {
		t.Error("there is a cache without a home")
	}
	long, err := DefaultDirs(env("DOCKERFACTORY_CACHE", "/"+strings.Repeat("long/", 30)))
	if err != nil || len(long.Run) > socketRoom {
		t.Errorf("sockets would lie in %s, %v", long.Run, err)
	}
}

func TestBuildkitdConfig(t *testing.T) {
	const plain = "[registry.\"127.0.0.1:5000\"]\n  http = true\n"
	if got := buildkitdConfig("127.0.0.1:5000", false); got != plain {
		t.Errorf("got\n%s", got)
	}
	if got := buildkitdConfig("127.0.0.1:5000", true); got != "[registry.\"docker.io\"]\n  mirrors = [\"127.0.0.1:5000\"]\n\n"+plain {
		t.Errorf("got\n%s", got)
	}
}

func TestLinkTools(t *testing.T) {
	b, _ := openBed(t)
	if err := b.linkTools(map[string]string{"buildx": "/x/buildx", "crane": "/x/crane"}); err != nil {
		t.Fatal(err)
	}
	for link, want := range map[string]string{
		filepath.Join(b.State.Tools, "crane"): "/x/crane", filepath.Join(b.State.Plugins, "docker-buildx"): "/x/buildx",
	} {
		if got, err := os.Readlink(link); err != nil || got != want {
			t.Errorf("%s points to %s, %v", link, got, err)
		}
	}
	was := b.State.Tools
	if err := b.linkTools(map[string]string{"buildx": "/y/buildx", "crane": "/x/crane"}); err != nil {
		t.Fatal(err)
	}
	if b.State.Tools == was {
		t.Error("another set of tools has the same directory")
	}
}

func TestStatus(t *testing.T) {
	b, _ := openBed(t)
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	b.State.Processes["registry"] = self
	b.State.Processes["engine"] = Process{self.PID, self.Start + 1, self.Boot}
	if err := b.save(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := b.Status(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"registry     running, pid ", "engine       died", "old-engine   stopped", b.Cache} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
