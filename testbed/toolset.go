package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// prepareTools decides which tools are the user's and which are built, and
// links them all into one directory. The tests run on the pinned versions; the
// demo takes what the user has.
func (b *Bed) prepareTools(ctx context.Context, p Profile) (map[string]string, error) {
	have := map[string]string{}
	names := slices.Clone(testTools)
	if p == Demo {
		names = slices.Clone(demoTools)
		if path, v := userBuildkitd(ctx, b.Cache, b.Getenv); path != "" {
			b.Log.Say("using buildkitd %s of this machine, %s", v, path)
			have["buildkitd"] = path
		}
		if path, v := userBuildx(ctx, b.Cache, b.Getenv); path != "" {
			b.Log.Say("using buildx %s of this machine, %s", v, path)
			have["buildx"] = path
		}
	}
	if path, v := userDocker(ctx, b.Cache, b.Getenv); path != "" {
		b.Log.Say("using the docker CLI %s of this machine, %s", v, path)
		have["docker"] = path
	} else if p == Test {
		names = append(names, "docker")
	}
	built, err := b.Build(ctx, slices.DeleteFunc(names, func(n string) bool { return have[n] != "" }))
	if err != nil {
		return nil, err
	}
	maps.Copy(have, built)
	return have, b.linkTools(have)
}

// linkTools makes the directory for PATH and the one for the docker CLI's
// plugins. Both are named after what they link to, so that two checkouts, or
// two profiles, do not change each other's.
func (b *Bed) linkTools(have map[string]string) error {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(have)) {
		fmt.Fprintf(h, "%s %s\n", name, have[name])
	}
	set := filepath.Join(b.Cache, "tools", "set-"+hex.EncodeToString(h.Sum(nil))[:12])
	b.State.Tools, b.State.Plugins = filepath.Join(set, "bin"), filepath.Join(set, "cli-plugins")
	b.State.Docker = have["docker"]
	for _, dir := range []string{b.State.Tools, b.State.Plugins} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("linking the tools: %w", err)
		}
	}
	for name, path := range have {
		if err := relink(path, filepath.Join(b.State.Tools, name)); err != nil {
			return fmt.Errorf("linking the tools: %w", err)
		}
	}
	for _, name := range []string{"buildx", "compose"} {
		if path := have[name]; path != "" {
			if err := relink(path, filepath.Join(b.State.Plugins, "docker-"+name)); err != nil {
				return fmt.Errorf("linking the tools: %w", err)
			}
		}
	}
	return b.save()
}
