package manifest_test

import (
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func set(names ...string) manifest.Set {
	s := manifest.Set{File: "f"}
	for _, n := range names {
		s.Manifests = append(s.Manifests, manifest.Manifest{Name: manifest.Text{Value: n}})
	}
	return s
}

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		set              manifest.Set
		name, want, hint string
	}{
		{set("app"), "", "app", ""},
		{set("app", "web"), "web", "web", ""},
		{set("app", "web"), "", "", "name one of: app, web"},
		{set("app", "web"), "wep", "", `did you mean "web"?`},
		{set("app", "web"), "something", "", "name one of: app, web"},
	} {
		m, err := tt.set.Find(tt.name)
		if m.Name.Value != tt.want || fault.HintOf(err) != tt.hint || (err == nil) != (tt.want != "") {
			t.Errorf("Find(%q) = %q, %v (%s)", tt.name, m.Name.Value, err, fault.HintOf(err))
		}
	}
}

func TestChecks(t *testing.T) {
	for _, tt := range []struct {
		check     func(string) error
		good, bad []string
	}{
		{manifest.CheckName, []string{"app", "llm_factory", "a.b-c", "9"}, []string{"", "a/b", "-a", "..", "a b", "a\n"}},
		{manifest.CheckVersion, []string{"1.10", "012", "latest", "1.0+deb12"}, []string{"", "..", "1/2", "v 1"}},
		{manifest.CheckPlatform, []string{"linux/amd64", "linux/arm64", "linux/arm/v7"}, []string{"amd64", "linux/x86_64", "", "a/b/c/d"}},
		{manifest.CheckTag, []string{"app", "app:1", "ghcr.io/o/a:1", "127.0.0.1:5000/a"}, []string{"", "App", "a:b:c", "a b"}},
		{manifest.CheckImage, []string{"debian", "scratch", "a@sha256:" + zeros}, []string{"", "A", "${BASE}"}},
	} {
		for _, s := range tt.good {
			if err := tt.check(s); err != nil {
				t.Errorf("%q: %v", s, err)
			}
		}
		for _, s := range tt.bad {
			if tt.check(s) == nil {
				t.Errorf("%q passes", s)
			}
		}
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"
