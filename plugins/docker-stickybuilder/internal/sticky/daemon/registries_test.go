package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/cmd/buildkitd/config"
)

func TestRegistries(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	user := "insecure-entitlements = [\"network.host\"]\n[registry.\"r.example\"]\nca = [\"ca.pem\", \"/abs.pem\"]\nmirrors = [\"m.example\"]\n" +
		"[[registry.\"r.example\".keypair]]\nkey = \"k.pem\"\ncert = \"c.pem\"\n"
	text, ignored, err := Config([]byte(user), filepath.Join(dir, "user.toml"), places, 0, "network.host", "security.insecure")
	if err != nil || len(ignored) != 0 {
		t.Fatal(err, ignored)
	}
	c, err := config.Load(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	r := c.Registries["r.example"]
	if !slices.Equal(r.RootCAs, []string{filepath.Join(dir, "ca.pem"), "/abs.pem"}) || !slices.Equal(r.Mirrors, []string{"m.example"}) ||
		r.KeyPairs[0].Key != filepath.Join(dir, "k.pem") || r.KeyPairs[0].Certificate != filepath.Join(dir, "c.pem") {
		t.Errorf("%+v", r)
	}
	if !slices.Equal(c.Entitlements, []string{"network.host", "security.insecure"}) {
		t.Errorf("%v", c.Entitlements)
	}
	err = CheckRegistries(text)
	if err == nil {
		t.Fatal("missing files pass")
	}
	for _, name := range []string{"/abs.pem", "k.pem", "c.pem"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "open "+filepath.Join(dir, "ca.pem")) {
		t.Error(err)
	}
	if err := CheckRegistries(nil); err != nil {
		t.Error(err)
	}
}

func TestCheckEntitlement(t *testing.T) {
	for _, e := range Entitlements {
		if err := CheckEntitlement(e); err != nil {
			t.Error(err)
		}
	}
	if CheckEntitlement("root") == nil {
		t.Error("root passes")
	}
}
