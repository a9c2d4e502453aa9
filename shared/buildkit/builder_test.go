package buildkit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/buildx/store"
	"github.com/docker/buildx/util/confutil"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"

	"github.com/dockerfactory/dockerfactory/shared/buildkit"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// newCLI returns a docker CLI on an empty configuration directory.
func newCLI(t *testing.T) command.Cli {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("BUILDX_CONFIG", filepath.Join(dir, "buildx"))
	t.Setenv("BUILDX_BUILDER", "")
	t.Setenv("DOCKER_HOST", "unix:///no/such/docker.sock")
	cli, err := command.NewDockerCli()
	if err != nil {
		t.Fatal(err)
	}
	if err := cli.Initialize(flags.NewClientOptions()); err != nil {
		t.Fatal(err)
	}
	return cli
}

// save puts a builder into the store as buildx itself would.
func save(t *testing.T, cli command.Cli, group *store.NodeGroup, current bool) {
	t.Helper()
	s, err := store.New(confutil.NewConfig(cli))
	if err != nil {
		t.Fatal(err)
	}
	txn, release, err := s.Txn()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if err := txn.Save(group); err != nil {
		t.Fatal(err)
	}
	if current {
		key, err := buildkit.CurrentKey(cli)
		if err != nil {
			t.Fatal(err)
		}
		if err := txn.SetCurrent(key, group.Name, false, false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	cli := newCLI(t)
	if b, err := buildkit.Find(cli, ""); err != nil || b.Driver != "docker" || b.Name != "default" {
		t.Errorf("empty store: %+v, %v; want the context", b, err)
	}
	remote := &store.NodeGroup{Name: "sticky", Driver: "remote", Nodes: []store.Node{{Name: "sticky0", Endpoint: "unix:///no/such/bk.sock"}}}
	save(t, cli, remote, true)
	save(t, cli, &store.NodeGroup{Name: "other", Driver: "docker-container", Nodes: []store.Node{{Name: "other0", Endpoint: "default"}}}, false)

	if b, err := buildkit.Find(cli, ""); err != nil || b.Name != "sticky" {
		t.Errorf("current: %+v, %v", b, err)
	}
	if b, err := buildkit.Find(cli, "other"); err != nil || b.Driver != "docker-container" {
		t.Errorf("by name: %+v, %v", b, err)
	}
	t.Setenv("BUILDX_BUILDER", "other")
	if b, err := buildkit.Find(cli, ""); err != nil || b.Name != "other" {
		t.Errorf("BUILDX_BUILDER: %+v, %v", b, err)
	}
	if b, err := buildkit.Find(cli, "sticky"); err != nil || b.Name != "sticky" {
		t.Errorf("the flag beats the environment: %+v, %v", b, err)
	}
	_, err := buildkit.Find(cli, "stiky")
	if err == nil || !strings.Contains(fault.HintOf(err), `did you mean "sticky"?`) {
		t.Errorf("err = %v, hint %q", err, fault.HintOf(err))
	}
}

func TestDialSaysWhichBuilderDoesNotAnswer(t *testing.T) {
	cli := newCLI(t)
	save(t, cli, &store.NodeGroup{Name: "gone", Driver: "remote", Nodes: []store.Node{{Name: "gone0", Endpoint: "unix:///no/such/bk.sock"}}}, true)
	b, err := buildkit.Find(cli, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Dial(t.Context())
	if err == nil || !strings.Contains(err.Error(), "connecting to builder gone") || fault.HintOf(err) == "" {
		t.Errorf("err = %v, hint %q", err, fault.HintOf(err))
	}
}
