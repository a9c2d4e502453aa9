// Package daemon runs one buildkitd: its configuration, its process, its API and,
// once it has ended, the soundness of the databases it leaves behind.
package daemon

import (
	"errors"
	"fmt"
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
	Cgroup string // path of the control group for RUN processes
}

// Config makes the text of a buildkitd.toml from the user's own, which may be
// empty: mirrors, registries, DNS, entitlements, parallelism and all else pass
// through; what ties the daemon to its disk and socket is set here, and garbage
// collection is tuned for a disk that outlives the job unless the user's file
// says something about it. name is the user's file, for errors.
//
// The disk's bound, in bytes, is what that collection keeps to; 0 means that only the
// filesystem's free space bounds it.
//
// ignored lists the user's settings that were replaced.
func Config(user []byte, name string, p Places, bound int64) (text []byte, ignored []string, err error) {
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
	set(p.Cgroup, "worker", "oci", "defaultCgroupParent")
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

type table map[string]any

// key returns the key of t that stands for name. BuildKit's loader takes keys in
// upper or lower case alike, so "Root" is "root".
func (t table) key(name string) string {
	if _, ok := t[name]; ok {
		return name
	}
	found := name
	for k := range t {
		if strings.EqualFold(k, name) && (found == name || k < found) {
			found = k
		}
	}
	return found
}

func (t table) get(path ...string) (any, bool) {
	for _, name := range path[:len(path)-1] {
		next, ok := t[t.key(name)].(map[string]any)
		if !ok {
			return nil, false
		}
		t = next
	}
	v, ok := t[t.key(path[len(path)-1])]
	return v, ok
}

func (t table) set(value any, path ...string) {
	for _, name := range path[:len(path)-1] {
		next, ok := t[t.key(name)].(map[string]any)
		if !ok {
			next = map[string]any{}
			t.only(name, next)
		}
		t = next
	}
	t.only(path[len(path)-1], value)
}

// only sets a key and removes those that stand for the same.
func (t table) only(name string, value any) {
	for k := range t {
		if strings.EqualFold(k, name) {
			delete(t, k)
		}
	}
	t[name] = value
}

func (t table) replace(ignored *[]string, name string, value table) {
	if _, ok := t.get(name); ok {
		*ignored = append(*ignored, name)
	}
	t.only(name, map[string]any(value))
}
