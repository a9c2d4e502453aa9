package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/pelletier/go-toml/v2"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Entitlements are what builds may be allowed beyond the usual; see
// --allow-insecure-entitlement of buildkitd.
var Entitlements = []string{"security.insecure", "network.host", "device"}

// CheckEntitlement returns an error for what BuildKit does not know.
func CheckEntitlement(name string) error {
	if slices.Contains(Entitlements, name) {
		return nil
	}
	err := fmt.Errorf("unknown entitlement %q", name)
	if near := fault.Nearest(name, Entitlements); near != "" {
		return fault.Hint(err, "did you mean %s", near)
	}
	return fault.Hint(err, "entitlements: %v", Entitlements)
}

func (t table) entitle(names []string) {
	have, _ := t.get("insecure-entitlements")
	list, _ := have.([]any)
	for _, n := range names {
		if !slices.Contains(list, any(n)) {
			list = append(list, n)
		}
	}
	if len(list) > 0 {
		t.set(list, "insecure-entitlements")
	}
}

// absolute makes paths in the registries' settings independent of the directory
// in which the daemon runs.
func (t table) absolute(dir string) {
	in, _ := t.get("registry")
	registries, _ := in.(map[string]any)
	for _, r := range registries {
		one, ok := r.(map[string]any)
		if !ok {
			continue
		}
		reg := table(one)
		for _, name := range []string{"ca", "tlsconfigdir"} {
			v, _ := reg.get(name)
			if list, ok := v.([]any); ok {
				for i := range list {
					list[i] = rooted(dir, list[i])
				}
			}
		}
		v, _ := reg.get("keypair")
		pairs, _ := v.([]any)
		for _, p := range pairs {
			if pair, ok := p.(map[string]any); ok {
				for k := range pair {
					pair[k] = rooted(dir, pair[k])
				}
			}
		}
	}
}

func rooted(dir string, path any) any {
	if s, ok := path.(string); ok && s != "" && !filepath.IsAbs(s) {
		return filepath.Join(dir, s)
	}
	return path
}

// CheckRegistries reports certificates and keys that a configuration made by
// Config names and that cannot be read: the daemon would only say so when it
// first meets the registry, and the docker-container driver in its own words.
func CheckRegistries(text []byte) error {
	var c config.Config
	if err := toml.Unmarshal(text, &c); err != nil {
		return err
	}
	var errs []error
	for name, r := range c.Registries {
		files := slices.Clone(r.RootCAs)
		for _, p := range r.KeyPairs {
			files = append(files, p.Key, p.Certificate)
		}
		for _, f := range files {
			if _, err := os.ReadFile(f); err != nil {
				errs = append(errs, fmt.Errorf("reading a certificate for registry %s: %w", name, err))
			}
		}
	}
	if len(errs) == 0 {
		return nil
	}
	slices.SortFunc(errs, func(a, b error) int {
		if a.Error() < b.Error() {
			return -1
		}
		return 1
	})
	return fault.Hint(errors.Join(errs...), "relative paths are seen from the configuration file")
}
