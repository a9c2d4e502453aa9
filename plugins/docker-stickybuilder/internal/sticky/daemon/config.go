// Package daemon runs one buildkitd: its configuration, its process, its API and,
// once it has ended, the soundness of the databases it leaves behind.
package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/pelletier/go-toml/v2"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Places are the paths that belong to one daemon alone.
type Places struct {
	Root   string // its state, on the disk
	Socket string // of its API
	Trace  string // socket on which it takes traces from its containers
	Cgroup string // path of the control group for RUN processes; "" for the daemon's default
}

// Config makes the text of a buildkitd.toml from the user's own, which may be
// empty: mirrors, registries, DNS, entitlements, parallelism and all else pass
// through; what ties the daemon to its disk and socket is set here, and garbage
// collection is tuned for a disk that outlives the job unless the user's file
// says something about it. name is the user's file, for errors.
//
// The disk's bound, in bytes, is what that collection keeps to; 0 means that only the
// filesystem's free space bounds it. Entitlements that the user's file does not have
// are added. Relative paths of certificates are made absolute, as seen from the file.
//
// ignored lists the user's settings that were replaced.
func Config(user []byte, name string, p Places, bound int64, entitlements ...string) (text []byte, ignored []string, err error) {
	tree := table{}
	if err := toml.Unmarshal(user, &tree); err != nil {
		return nil, nil, parseError(name, err)
	}
	// Types are BuildKit's own business: let its structure judge them.
	if err := toml.Unmarshal(user, &config.Config{}); err != nil {
		return nil, nil, parseError(name, err)
	}
	set := func(value any, path ...string) {
		if was, ok := tree.get(path...); ok && fmt.Sprint(was) != fmt.Sprint(value) {
			ignored = append(ignored, strings.Join(path, "."))
		}
		tree.set(value, path...)
	}
	set(p.Root, "root")
	tree.replace(&ignored, "grpc", table{"address": []string{"unix://" + p.Socket}})
	set(p.Trace, "otel", "socketPath")
	set(true, "worker", "oci", "enabled")
	set(false, "worker", "containerd", "enabled")
	if p.Cgroup != "" {
		set(p.Cgroup, "worker", "oci", "defaultCgroupParent")
	}
	tree.entitle(entitlements)
	tree.absolute(filepath.Dir(name))
	// Without entries BuildKit has no history, and nobody knows what was built.
	if n, ok := tree.get("history", "maxEntries"); ok && fmt.Sprint(n) == "0" {
		set(int64(1000), "history", "maxEntries")
	}
	trimHistory(tree)
	if !setsGC(tree) {
		tree.set(true, "worker", "oci", "gc")
		tree.set(stickyGC(bound), "worker", "oci", "gcpolicy")
	}
	out, err := toml.Marshal(tree)
	if err != nil {
		return nil, nil, fmt.Errorf("writing buildkitd.toml: %w", err)
	}
	return out, ignored, nil
}

func parseError(name string, err error) error {
	pos := fault.Position{File: name}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		pos.Line, pos.Column = decode.Position()
	}
	return fault.At(pos, fmt.Errorf("parsing buildkitd configuration: %s", strings.TrimPrefix(err.Error(), "toml: ")))
}
