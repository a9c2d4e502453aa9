package repack

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/layer"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// A Difference is one thing in which two images differ.
type Difference struct {
	Platform string `json:"platform,omitempty"`
	// Path is a path in the root filesystem; "" for a difference of the configs.
	Path string `json:"path,omitempty"`
	What string `json:"what"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// String gives the difference in one line.
func (d Difference) String() string {
	where := "config"
	if d.Path != "" {
		where = d.Path
	}
	return fmt.Sprintf("%s: %s: %q and %q", where, d.What, d.A, d.B)
}

// A Side is one image, or index, of a [Comparison].
type Side struct {
	Reference string            `json:"reference"`
	Digest    string            `json:"digest"`
	Trees     map[string]string `json:"trees"` // platform to canonical tree digest
}

// A Comparison tells whether two images would run alike.
type Comparison struct {
	Equal       bool         `json:"equal"`
	A           Side         `json:"a"`
	B           Side         `json:"b"`
	Differences []Difference `json:"differences"`
}

// Compare reads two images, or indexes platform by platform, and lists every
// difference of their root filesystems and of the config that a container is
// started with. Of the options it heeds Platforms, Jobs, Memory and Progress.
func Compare(ctx context.Context, a, b image.Subject, opts Options) (*Comparison, error) {
	opts = opts.withDefaults()
	out := &Comparison{Differences: []Difference{}}
	sides := [2]*Side{&out.A, &out.B}
	var images [2][]*original
	var passed [2][]v1.Descriptor
	for i, s := range []image.Subject{a, b} {
		*sides[i] = Side{s.Reference.String(), s.Descriptor.Digest.String(), map[string]string{}}
		r := &run{opts: opts, source: s.Store(), result: &Result{}}
		chosen, err := r.originals(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", s.Reference, err)
		}
		passed[i] = r.passed
		for _, c := range chosen {
			images[i] = append(images[i], c.original)
		}
	}
	for _, pair := range pairs(images[0], images[1]) {
		platform := pair.platform()
		var trees [2]*layer.Tree
		for i, o := range pair {
			if o == nil {
				continue
			}
			if err := progress.Do(opts.Progress, fmt.Sprintf("reading %s %s", sides[i].Reference, platform), func(step progress.Step) error {
				s, err := scan(ctx, o, nil, nil, opts, step)
				if err == nil {
					trees[i] = s.tree
					sides[i].Trees[platformText(o.platform())] = s.tree.Digest().String()
				}
				return err
			}); err != nil {
				return nil, fmt.Errorf("reading %s: %w", sides[i].Reference, err)
			}
		}
		var found []Difference
		switch {
		case pair[0] == nil:
			found = []Difference{{What: "image", B: pair[1].descriptor.Digest.String()}}
		case pair[1] == nil:
			found = []Difference{{What: "image", A: pair[0].descriptor.Digest.String()}}
		default:
			found = compare(pair[0], trees[0], pair[1], trees[1])
		}
		for _, d := range found {
			d.Platform = platform
			out.Differences = append(out.Differences, d)
		}
	}
	out.Differences = append(out.Differences, unlike(passed[0], passed[1])...)
	out.Equal = len(out.Differences) == 0
	return out, nil
}

// unlike lists the images that only one of two sides has, of those that are compared
// by their digests alone.
func unlike(a, b []v1.Descriptor) []Difference {
	var out []Difference
	has := func(all []v1.Descriptor, d v1.Descriptor) bool {
		return slices.ContainsFunc(all, func(e v1.Descriptor) bool { return e.Digest == d.Digest })
	}
	for _, d := range a {
		if !has(b, d) {
			out = append(out, Difference{Platform: platformText(*d.Platform), What: "image", A: d.Digest.String()})
		}
	}
	for _, d := range b {
		if !has(a, d) {
			out = append(out, Difference{Platform: platformText(*d.Platform), What: "image", B: d.Digest.String()})
		}
	}
	return out
}

type pair [2]*original

func (p pair) platform() string {
	if p[0] != nil {
		return platformText(p[0].platform())
	}
	return platformText(p[1].platform())
}

// pairs matches the images of two sides by platform; two single images are a pair
// whatever they are for, and their configs then tell the platforms apart.
func pairs(a, b []*original) []pair {
	if len(a) == 1 && len(b) == 1 {
		return []pair{{a[0], b[0]}}
	}
	var out []pair
	rest := slices.Clone(b)
	for _, x := range a {
		i := match(x, rest, func(y *original) *original { return y })
		if i < 0 {
			out = append(out, pair{x, nil})
			continue
		}
		out = append(out, pair{x, rest[i]})
		rest = slices.Delete(rest, i, i+1)
	}
	for _, y := range rest {
		out = append(out, pair{nil, y})
	}
	return out
}

// runtimeFields are the members of a config's "config" that specifications know, in
// the order in which differences are listed; all others come after them.
var runtimeFields = []string{
	"User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
	"Healthcheck", "Shell", "OnBuild", "ArgsEscaped", "Memory", "MemorySwap", "CpuShares",
}

// fields returns the members that one of two configs has. Those that nobody knows, or
// that are spelled in another way, may be what somebody's engine or tool goes by.
func fields(p, q object) []string {
	others := map[string]bool{}
	for _, o := range []object{p, q} {
		for key := range o {
			others[key] = !slices.Contains(runtimeFields, key)
		}
	}
	maps.DeleteFunc(others, func(_ string, other bool) bool { return !other })
	return append(slices.Clone(runtimeFields), slices.Sorted(maps.Keys(others))...)
}

// compare lists the differences of two images whose trees are known.
func compare(a *original, x *layer.Tree, b *original, y *layer.Tree) []Difference {
	var out []Difference
	for _, d := range layer.Diff(x, y) {
		out = append(out, Difference{Path: d.Path, What: d.What, A: d.A, B: d.B})
	}
	add := func(what, p, q string) {
		if p != q {
			out = append(out, Difference{What: what, A: p, B: q})
		}
	}
	add("os", a.config.OS, b.config.OS)
	add("architecture", a.config.Architecture, b.config.Architecture)
	add("variant", a.config.Variant, b.config.Variant)
	p, q := runtimeConfig(a.rawConfig), runtimeConfig(b.rawConfig)
	for _, field := range fields(p, q) {
		if !sameJSON(p[field], q[field]) {
			add(field, string(p[field]), string(q[field]))
		}
	}
	return out
}

func runtimeConfig(raw []byte) object {
	var c struct {
		Config object `json:"config"`
	}
	_ = json.Unmarshal(raw, &c) // parsed before: what is not an object has no fields
	return c.Config
}

// sameJSON compares values; none, null and empty ones are all the same, as they
// are to engines.
func sameJSON(a, b json.RawMessage) bool {
	value := func(raw json.RawMessage) any {
		var v any
		_ = json.Unmarshal(raw, &v)
		if v == nil {
			return nil
		}
		switch r := reflect.ValueOf(v); r.Kind() {
		case reflect.Map, reflect.Slice, reflect.String:
			if r.Len() == 0 {
				return nil
			}
		case reflect.Bool, reflect.Float64:
			if r.IsZero() {
				return nil
			}
		}
		return v
	}
	return reflect.DeepEqual(value(a), value(b))
}
