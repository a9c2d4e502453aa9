package identity_test

import (
	"encoding/json"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/fragment"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/identity"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
)

func text(s string) manifest.Text { return manifest.Text{Value: s} }

func inputs() identity.Inputs {
	order := 7
	use := manifest.Fragment{
		Name: text("core"), Version: text("1.10"), Order: &order,
		Params: []manifest.Param{{Name: text("B"), Value: text("<2>")}, {Name: text("A"), Value: text("é")}},
	}
	return identity.Inputs{
		Manifest: manifest.Manifest{
			Name: text("app"), Base: text("debian"), Template: text("t"), Output: text("out"),
			Fragments: []manifest.Fragment{use}, Platforms: []manifest.Text{text("linux/amd64")}, Tags: []manifest.Text{text("app:1")},
		},
		Template: []string{"FROM debian"},
		Fragments: []fragment.Fragment{{
			Use: use, Dir: "fragments/core/1.10", Source: []string{"RUN true"},
			Metadata: fragment.Metadata{
				Name: "core", Version: "1.10", Order: 100, Description: "Runtime",
				Params: []*fragment.Parameter{{Name: "A", Type: "string", Values: []string{"é"}}},
			},
		}},
		Files: []files.Entry{
			{Path: "a", Type: "file", Mode: "0644", SHA256: "00"},
			{Path: "b", Type: "link", Mode: "0777", Target: "a"},
			{Path: "c", Type: "dir", Mode: "0755"},
		},
	}
}

// The document on manifest ids quotes this example, so that other programs can
// check themselves against it.
func TestCanonicalForm(t *testing.T) {
	const want = `{"files":[{"mode":"0644","path":"a","sha256":"00","type":"file"},` +
		`{"mode":"0777","path":"b","target":"a","type":"link"},{"mode":"0755","path":"c","type":"dir"}],` +
		`"format":"dev.dockerfactory.manifest/v1",` +
		`"fragments":[{"dir":"fragments/core/1.10","metadata":{"description":"Runtime","name":"core","order":100,` +
		`"params":{"A":{"description":"","pattern":"","type":"string","values":["é"]}},"stages":false,"version":"1.10"},` +
		`"sha256":"5f592643e08131e9d743877662aac76bbaf1505d2decb44868800a7ce7a7367f"}],` +
		`"manifest":{"base":"debian","fragments":[{"name":"core","order":7,"params":{"A":"é","B":"<2>"},"version":"1.10"}],` +
		`"name":"app","output":"out","platforms":["linux/amd64"],"tags":["app:1"],"template":"t"},` +
		`"template":{"sha256":"2e82491658394d2a150ac8f92efb200f230f6f97b7a6d5b7707893fa495c0b63"}}`
	got, err := inputs().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !json.Valid(got) {
		t.Error("the canonical form is no JSON")
	}
}

func TestEveryPartCounts(t *testing.T) {
	base, err := inputs().ID()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{base: "nothing"}
	for name, change := range map[string]func(*identity.Inputs){
		"name":        func(in *identity.Inputs) { in.Manifest.Name.Value = "x" },
		"base":        func(in *identity.Inputs) { in.Manifest.Base.Value = "x" },
		"template":    func(in *identity.Inputs) { in.Manifest.Template.Value = "x" },
		"output":      func(in *identity.Inputs) { in.Manifest.Output.Value = "x" },
		"platform":    func(in *identity.Inputs) { in.Manifest.Platforms[0].Value = "x" },
		"tag":         func(in *identity.Inputs) { in.Manifest.Tags[0].Value = "x" },
		"no tag":      func(in *identity.Inputs) { in.Manifest.Tags = nil },
		"version":     func(in *identity.Inputs) { in.Manifest.Fragments[0].Version.Value = "1.1" },
		"order":       func(in *identity.Inputs) { *in.Manifest.Fragments[0].Order = 8 },
		"no order":    func(in *identity.Inputs) { in.Manifest.Fragments[0].Order = nil },
		"param":       func(in *identity.Inputs) { in.Manifest.Fragments[0].Params[0].Value.Value = "x" },
		"param name":  func(in *identity.Inputs) { in.Manifest.Fragments[0].Params[0].Name.Value = "x" },
		"text":        func(in *identity.Inputs) { in.Template = []string{"FROM debian "} },
		"lines":       func(in *identity.Inputs) { in.Template = []string{"FROM", "debian"} },
		"dir":         func(in *identity.Inputs) { in.Fragments[0].Dir = "x" },
		"fragment":    func(in *identity.Inputs) { in.Fragments[0].Source[0] = "x" },
		"its order":   func(in *identity.Inputs) { in.Fragments[0].Metadata.Order = 1 },
		"description": func(in *identity.Inputs) { in.Fragments[0].Metadata.Description = "x" },
		"stages":      func(in *identity.Inputs) { in.Fragments[0].Metadata.Stages = true },
		"values":      func(in *identity.Inputs) { in.Fragments[0].Metadata.Params[0].Values = nil },
		"path":        func(in *identity.Inputs) { in.Files[0].Path = "x" },
		"mode":        func(in *identity.Inputs) { in.Files[0].Mode = "0755" },
		"digest":      func(in *identity.Inputs) { in.Files[0].SHA256 = "11" },
		"target":      func(in *identity.Inputs) { in.Files[1].Target = "x" },
		"no dir":      func(in *identity.Inputs) { in.Files = in.Files[:2] },
	} {
		in := inputs()
		change(&in)
		id, err := in.ID()
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := seen[id]; ok {
			t.Errorf("changing %s gives the id of changing %s", name, before)
		}
		seen[id] = name
	}
}

func TestOrderOfParamsDoesNotCount(t *testing.T) {
	one, _ := inputs().ID()
	in := inputs()
	p := in.Manifest.Fragments[0].Params
	p[0], p[1] = p[1], p[0]
	if two, _ := in.ID(); one != two {
		t.Errorf("got %s and %s", one, two)
	}
}
