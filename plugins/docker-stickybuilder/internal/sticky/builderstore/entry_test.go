package builderstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/buildx/store"
)

func TestContainerEntry(t *testing.T) {
	u := open(t)
	config := filepath.Join(t.TempDir(), "buildkitd.toml")
	if err := os.WriteFile(config, []byte("debug = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := Entry{Name: "c", Endpoint: endpoint, Platforms: []string{"linux/arm64"}, Container: &Container{Engine: key, Options: map[string]string{"image": "x"}, Config: config}}
	if _, err := u.Register(e, nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := e.Container.Options["restart-policy"]; ok {
		t.Error("the caller's options have changed")
	}
	u.do(func(txn *store.Txn) error {
		g, err := txn.NodeGroupByName("c")
		if err != nil {
			return err
		}
		n := g.Nodes[0]
		if g.Driver != "docker-container" || n.Name != "c0" || n.Endpoint != key || n.DriverOpts["image"] != "x" || n.DriverOpts["restart-policy"] != "no" ||
			n.Platforms[0].Architecture != "arm64" || !strings.Contains(string(n.Files["buildkitd.toml"]), "debug = true") {
			t.Errorf("%+v", g)
		}
		return nil
	})
	if _, err := u.Register(Entry{Name: "c", Endpoint: "unix:///another"}, nil); !errors.Is(err, ErrForeign) {
		t.Error(err)
	}
	if err := u.Unregister("c", "unix:///another", nil); err != nil {
		t.Fatal(err)
	}
	if err := u.Check("c", "unix:///another", nil); !errors.Is(err, ErrForeign) {
		t.Errorf("another one's unregister has removed it: %v", err)
	}
	if err := u.Unregister("c", endpoint, nil); err != nil {
		t.Fatal(err)
	}
	if err := u.Check("c", "unix:///another", nil); err != nil {
		t.Error(err)
	}
	e.Container.Config = "/none"
	if _, err := u.Register(e, nil); err == nil {
		t.Error("without a configuration")
	}
	u.create("d", "docker-container")
	if err := u.Check("d", endpoint, nil); !errors.Is(err, ErrForeign) {
		t.Errorf("the user's own: %v", err)
	}
}

// The address of a remote builder may be that of the user's own builders.
func TestRemoteEntry(t *testing.T) {
	u := open(t)
	e := Entry{Name: "r", Endpoint: endpoint, Remote: &Remote{Address: "tcp://builds.example:1234", Options: map[string]string{"cacert": "/ca.pem"}}}
	if _, err := u.Register(e, nil); err != nil {
		t.Fatal(err)
	}
	u.do(func(txn *store.Txn) error {
		g, err := txn.NodeGroupByName("r")
		if err != nil {
			return err
		}
		if n := g.Nodes[0]; g.Driver != "remote" || n.Endpoint != "tcp://builds.example:1234" || n.DriverOpts["cacert"] != "/ca.pem" || n.Name != e.node() || n.Name == "r0" {
			t.Errorf("%+v", g)
		}
		g.Name, g.Nodes[0].Name = "own", "own0"
		return txn.Save(g)
	})
	if err := u.Check("own", endpoint, nil); !errors.Is(err, ErrForeign) {
		t.Errorf("the user's own: %v", err)
	}
	if err := u.Check("r", "unix:///another", nil); !errors.Is(err, ErrForeign) {
		t.Errorf("another state's: %v", err)
	}
	for _, name := range []string{"own", "r"} {
		if err := u.Unregister(name, endpoint, nil); err != nil {
			t.Fatal(err)
		}
	}
	u.do(func(txn *store.Txn) error {
		if _, err := txn.NodeGroupByName("own"); err != nil {
			t.Errorf("the user's own is gone: %v", err)
		}
		if _, err := txn.NodeGroupByName("r"); err == nil {
			t.Error("it is still there")
		}
		return nil
	})
}
