package daemon

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/cmd/buildkitd/config"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

var places = Places{Root: "/pool/work/x/root", Socket: "/state/run/buildkitd.sock", Trace: "/state/run/otel.sock", Cgroup: "/sb/x"}

func load(t *testing.T, user string) (config.Config, []string) {
	t.Helper()
	text, ignored, err := Config([]byte(user), "user.toml", places, 50<<30)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := Config([]byte(user), "user.toml", places, 50<<30)
	if err != nil || string(again) != string(text) {
		t.Errorf("not deterministic: %v", err)
	}
	c, err := config.Load(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("buildkitd would refuse it: %v\n%s", err, text)
	}
	return c, ignored
}

func TestConfig(t *testing.T) {
	c, ignored := load(t, "")
	if len(ignored) != 0 {
		t.Errorf("ignored %v", ignored)
	}
	oci := c.Workers.OCI
	if c.Root != places.Root || !slices.Equal(c.GRPC.Address, []string{"unix://" + places.Socket}) || c.OTEL.SocketPath != places.Trace || oci.DefaultCgroupParent != places.Cgroup {
		t.Errorf("%+v", c)
	}
	if oci.Enabled == nil || !*oci.Enabled || c.Workers.Containerd.Enabled == nil || *c.Workers.Containerd.Enabled {
		t.Error("the workers are not set")
	}
	if len(c.Entitlements) != 0 {
		t.Errorf("entitlements %v", c.Entitlements)
	}
	// A weekend must not cost the cache mounts.
	if oci.GC == nil || !*oci.GC || len(oci.GCPolicy) == 0 {
		t.Fatalf("no garbage collection: %+v", oci.GCConfig)
	}
	for _, p := range oci.GCPolicy {
		if slices.Contains(p.Filters, "type==exec.cachemount") && p.KeepDuration.Hours() < 7*24 {
			t.Errorf("cache mounts are kept for %s", p.KeepDuration)
		}
		if p.All && p.ReservedSpace.Bytes == 0 {
			t.Error("everything may be collected")
		}
	}
}

func TestConfigPassesThrough(t *testing.T) {
	c, ignored := load(t, `
insecure-entitlements = ["network.host"]
[dns]
nameservers = ["10.0.0.1"]
[registry."docker.io"]
mirrors = ["127.0.0.1:5000"]
[registry."127.0.0.1:5000"]
http = true
[worker.oci]
max-parallelism = 3
snapshotter = "native"
maxUsedSpace = "7GB"
`)
	if len(ignored) != 0 {
		t.Errorf("ignored %v", ignored)
	}
	if !slices.Equal(c.Registries["docker.io"].Mirrors, []string{"127.0.0.1:5000"}) || !*c.Registries["127.0.0.1:5000"].PlainHTTP {
		t.Errorf("registries %+v", c.Registries)
	}
	if c.DNS == nil || c.DNS.Nameservers[0] != "10.0.0.1" || c.Workers.OCI.MaxParallelism != 3 || c.Workers.OCI.Snapshotter != "native" {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(c.Entitlements, []string{"network.host"}) {
		t.Errorf("entitlements %v", c.Entitlements)
	}
	if c.Workers.OCI.GCPolicy != nil || c.Workers.OCI.GCMaxUsedSpace.Bytes == 0 {
		t.Errorf("the user's own idea of garbage collection was replaced: %+v", c.Workers.OCI.GCConfig)
	}
}

func TestConfigKeepsItsOwn(t *testing.T) {
	c, ignored := load(t, `
root = "/var/lib/buildkit"
[grpc]
address = ["tcp://0.0.0.0:1234"]
[grpc.tls]
cert = "x"
[worker.containerd]
enabled = true
namespace = "x"
[history]
maxEntries = 0
`)
	if c.History.MaxEntries == nil || *c.History.MaxEntries == 0 {
		t.Error("there is no history")
	}
	if want := []string{"root", "grpc", "worker.containerd.enabled", "history.maxEntries"}; !slices.Equal(ignored, want) {
		t.Errorf("ignored %v, want %v", ignored, want)
	}
	if c.Root != places.Root || len(c.GRPC.Address) != 1 || c.GRPC.TLS.Cert != "" || *c.Workers.Containerd.Enabled {
		t.Errorf("%+v", c)
	}
}

func TestConfigMistakes(t *testing.T) {
	for _, c := range []struct {
		text string
		line int
		says string
	}{
		{"[worker.oci\n", 1, "expected"},
		{"root = '/x'\n[worker.oci]\nsnapshotter = 7\n", 3, "Snapshotter"},
		{"a = 1\na = 2\n", 2, "a"},
	} {
		_, _, err := Config([]byte(c.text), "user.toml", places, 0)
		if err == nil || fault.PositionOf(err).Line != c.line || !strings.HasPrefix(err.Error(), "user.toml:") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("[worker.oci]\ngc = false\n")
	f.Add("worker = 1\ngrpc = []\notel = 'x'\n")
	f.Add("Root = '/x'\nROOT = '/y'\n[GRPC]\naddress = ['z']\n[Worker.OCI]\nGC = false\n")
	f.Fuzz(func(t *testing.T, user string) {
		text, _, err := Config([]byte(user), "user.toml", places, 0)
		if err != nil {
			return
		}
		c, err := config.Load(strings.NewReader(string(text)))
		if err != nil || c.Root != places.Root || !slices.Equal(c.GRPC.Address, []string{"unix://" + places.Socket}) {
			t.Errorf("%v\n%s", err, text)
		}
	})
}
