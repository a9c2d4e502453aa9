package builderstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/buildx/localstate"
	"github.com/docker/buildx/store"
	"github.com/docker/buildx/util/confutil"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/instance"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

const (
	endpoint = "unix:///state/run/buildkitd.sock"
	key      = "unix:///var/run/docker.sock"
)

type user struct {
	*Store
	t *testing.T
}

func open(t *testing.T) user {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "buildx"))
	if err != nil {
		t.Fatal(err)
	}
	return user{s, t}
}

// do is what another client of the store does, such as docker buildx.
func (u user) do(fn func(*store.Txn) error) {
	u.t.Helper()
	if err := u.locked(fn); err != nil {
		u.t.Fatal(err)
	}
}

func (u user) create(name, driver string) {
	u.t.Helper()
	u.do(func(txn *store.Txn) error {
		return txn.Save(&store.NodeGroup{Name: name, Driver: driver, Nodes: []store.Node{{Name: name + "0", Endpoint: "tcp://x"}}})
	})
}

// current is what docker buildx takes for current.
func (u user) current(key string) string {
	u.t.Helper()
	name := ""
	u.do(func(txn *store.Txn) error {
		ng, err := txn.Current(key)
		if ng != nil {
			name = ng.Name
		}
		return err
	})
	return name
}

func (u user) register(name string, use *string) *instance.Current {
	u.t.Helper()
	p, err := u.Register(Entry{Name: name, Endpoint: endpoint}, use)
	if err != nil {
		u.t.Fatal(err)
	}
	return p
}

func (u user) unregister(name string, p *instance.Current) {
	u.t.Helper()
	if err := u.Unregister(name, endpoint, p); err != nil {
		u.t.Fatal(err)
	}
}

func TestRegister(t *testing.T) {
	use := key
	for name, c := range map[string]struct {
		before func(user)
		after  [][2]string // docker endpoints and what is current of them again; to ask makes the last one the store's choice
	}{
		"a fresh store":       {func(user) {}, [][2]string{{key, ""}}},
		"another was current": {func(u user) { u.do(func(txn *store.Txn) error { return txn.SetCurrent(key, "mine", false, false) }) }, [][2]string{{key, "mine"}}},
		"a global one": {func(u user) {
			u.do(func(txn *store.Txn) error { return txn.SetCurrent("elsewhere", "mine", true, false) })
		}, [][2]string{{key, "mine"}, {"third", "mine"}}},
		"a default one": {func(u user) { u.do(func(txn *store.Txn) error { return txn.SetCurrent(key, "mine", false, true) }) }, [][2]string{{key, "mine"}}},
		"another one's default": {func(u user) {
			u.do(func(txn *store.Txn) error {
				return errors.Join(txn.SetCurrent(key, "mine", false, true), txn.SetCurrent("ctx", "other", false, false))
			})
		}, [][2]string{{"ctx", "other"}, {key, "mine"}}},
	} {
		t.Run(name, func(t *testing.T) {
			u := open(t)
			u.create("mine", "docker-container")
			u.create("other", "remote")
			c.before(u)
			p := u.register("sticky", &use)
			if got := u.current(key); got != "sticky" {
				t.Errorf("current %q", got)
			}
			u.do(func(txn *store.Txn) error {
				ng, err := txn.NodeGroupByName("sticky")
				if err == nil && (ng.Driver != "remote" || len(ng.Nodes) != 1 || ng.Nodes[0].Endpoint != endpoint || ng.Nodes[0].Files != nil) {
					t.Errorf("registered %+v", ng)
				}
				return err
			})
			u.unregister("sticky", p)
			for _, a := range c.after {
				if got := u.current(a[0]); got != a[1] {
					t.Errorf("current of %s is %q, want %q", a[0], got, a[1])
				}
			}
			u.unregister("sticky", p) // twice is fine
		})
	}
}

func TestRegisterWithoutUse(t *testing.T) {
	u := open(t)
	u.create("mine", "remote")
	u.do(func(txn *store.Txn) error { return txn.SetCurrent(key, "mine", false, false) })
	p := u.register("sticky", nil)
	if p != nil || u.current(key) != "mine" {
		t.Errorf("current %q, previous %v", u.current(key), p)
	}
	u.unregister("sticky", p)
	if u.current(key) != "mine" {
		t.Errorf("current %q", u.current(key))
	}
}

// What the user decides meanwhile stands.
func TestUnregisterRespectsTheUser(t *testing.T) {
	use := key
	u := open(t)
	u.create("mine", "remote")
	u.create("later", "remote")
	u.do(func(txn *store.Txn) error { return txn.SetCurrent(key, "mine", false, false) })
	p := u.register("sticky", &use)
	u.do(func(txn *store.Txn) error { return txn.SetCurrent(key, "later", false, false) })
	u.unregister("sticky", p)
	if got := u.current(key); got != "later" {
		t.Errorf("current %q", got)
	}

	p = u.register("sticky", &use)
	u.do(func(txn *store.Txn) error { return txn.Remove("later") })
	u.unregister("sticky", p)
	if got := u.current(key); got != "" {
		t.Errorf("current %q, and it was removed", got)
	}

	// The name has become another builder.
	p = u.register("sticky", &use)
	u.create("sticky", "docker-container")
	u.unregister("sticky", p)
	u.do(func(txn *store.Txn) error { _, err := txn.NodeGroupByName("sticky"); return err })
}

func TestForeign(t *testing.T) {
	use := key
	u := open(t)
	u.create("mine", "docker-container")
	u.create("remote", "remote")
	for _, name := range []string{"mine", "remote", "ctx"} {
		err := u.Check(name, endpoint, []string{"default", "ctx"})
		if !errors.Is(err, ErrForeign) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if name == "ctx" {
			continue
		}
		if _, err := u.Register(Entry{Name: name, Endpoint: endpoint}, &use); !errors.Is(err, ErrForeign) {
			t.Errorf("registering %s: %v", name, err)
		}
	}
	if got := u.current(key); got != "" {
		t.Errorf("current %q", got)
	}
	u.register("sticky", nil)
	if err := u.Check("sticky", endpoint, nil); err != nil {
		t.Errorf("our own: %v", err)
	}
	if err := os.WriteFile(filepath.Join(u.Dir(), "instances", "broken"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := u.Check("broken", endpoint, nil); err == nil {
		t.Error("an entry that cannot be read was taken for free")
	}
}

func TestValidateName(t *testing.T) {
	if got, err := ValidateName("My.Builder-1_x"); got != "my.builder-1_x" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "1a", "a/b", "../x", "a b", "-a", strings.Repeat("a", 129)} {
		if _, err := ValidateName(bad); err == nil || fault.HintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	u := open(t)
	notes, err := localstate.New(confutil.NewConfig(nil, confutil.WithDir(u.Dir())))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		notes.SaveRef("sticky", "sticky0", "abc1", localstate.State{Target: "default", LocalPath: "/src/app", DockerfilePath: "/src/app/Dockerfile"}),
		notes.SaveRef("sticky", "sticky0", "abc2", localstate.State{Target: "web"}),
	); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]Description{
		"abc1": {"", "/src/app", "/src/app/Dockerfile"}, "abc2": {"web", "", ""}, "none": {}, "../sticky0/abc1": {}, "": {},
	} {
		if got := u.Describe(Entry{Name: "sticky"}, ref); got != want {
			t.Errorf("%q: %+v", ref, got)
		}
	}
}
