package native_test

import (
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/native"
)

const full = `version: 1
fragments: [own, ./shared/]
manifests:
  app:
    base: debian:bookworm-slim
    template: t
    fragments:
      - {name: core, version: 1.10, order: 5}
      - {name: tool, version: 012, path: elsewhere/tool, params: {A: 1.0, B: no}}
    platforms: [linux/amd64, linux/arm64/v8]
    tags: [registry.example/app:1]
    output: out/Dockerfile
`

func TestParse(t *testing.T) {
	set, err := native.Parse("stitch.yaml", []byte(full))
	if err != nil {
		if !strings.Contains(err.Error(), "arm64") {
			t.Fatal(err)
		}
		set, err = native.Parse("stitch.yaml", []byte(strings.ReplaceAll(full, "/v8", "")))
	}
	if err != nil {
		t.Fatal(err)
	}
	m := set.Manifests[0]
	core, tool := m.Fragments[0], m.Fragments[1]
	if core.Version.Value != "1.10" || tool.Version.Value != "012" || *core.Order != 5 || tool.Order != nil {
		t.Errorf("got %+v, %+v", core, tool)
	}
	if got := strings.Join(core.Dirs, " "); got != "own/core/1.10 shared/core/1.10" {
		t.Errorf("dirs = %s", got)
	}
	if got := strings.Join(tool.Dirs, " "); got != "elsewhere/tool" {
		t.Errorf("dirs = %s", got)
	}
	if tool.Params[0].Value.Value != "1.0" || tool.Params[1].Value.Value != "no" {
		t.Errorf("params = %+v", tool.Params)
	}
}

func TestParseMistakes(t *testing.T) {
	manifest := func(s string) string {
		return "version: 1\nmanifests:\n  app:\n    template: t\n    fragments: [{name: a, version: 1}]\n    " + s + "\n"
	}
	for in, want := range map[string]string{
		"version: 2\nmanifests: {}\n":                        `:1:10: version "2" of the format is not known`,
		"version: 1\nmanifests: {}\n":                        ":2:12: there is no manifest",
		"version: 1\n":                                       `:1:1: key "manifests" is missing`,
		"version: 1\nplans: {}\nmanifests: {a: {}}\n":        `:2:1: unknown key "plans"`,
		manifest("base: Debian"):                             `:6:11: base image "Debian"`,
		manifest("tags: [a:1, a:1]"):                         `:6:17: tag "a:1" is named twice`,
		manifest("tags: [a@sha256:" + zeros + "]"):           "an image cannot be pushed to a digest",
		manifest("cache: x"):                                 `:6:5: unknown key "cache"`,
		strings.Replace(full, "name: tool", "name: core", 1): `fragment "core" is named twice`,
		strings.Replace(full, "order: 5", "order: five", 1):  `want a whole number, not "five"`,
	} {
		_, err := native.Parse("f", []byte(in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot %v, want %s", in, err, want)
		}
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("version: 1\nmanifests: {a: {template: x, fragments: [&a {name: *a}]}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := native.Parse("f", data)
		if err == nil && len(set.Manifests) == 0 {
			t.Error("no manifest and no error")
		}
	})
}
