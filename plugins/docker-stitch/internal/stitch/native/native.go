// Package native reads stitch.yaml, docker stitch's own format.
//
//	version: 1
//	fragments: [fragments]           # where fragments lie, NAME/VERSION below each
//	manifests:
//	  app:
//	    base: debian:bookworm-slim   # replaces the default of the template's ARG BASE_IMAGE
//	    template: templates/service.Dockerfile
//	    fragments:
//	      - {name: core, version: 1.10}
//	      - name: app
//	        version: 1.0.0
//	        params: {APP_PORT: 8080}
//	    platforms: [linux/amd64]
//	    tags: [registry.example/app:1.0]
//	    output: Dockerfile.app
//
// A key that is not listed here is an error: nothing in the file is ignored.
package native

import (
	"path"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/document"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// FormatVersion is the only value of the key "version" so far.
const FormatVersion = "1"

// DefaultFragments is where fragments are looked for if the file does not say.
const DefaultFragments = "fragments"

// Load reads the file called name in tree. The error lists every mistake.
func Load(tree *files.Tree, name string) (manifest.Set, error) {
	display := tree.Display(name)
	data, err := tree.Read(name)
	if err != nil {
		return manifest.Set{}, fault.At(fault.Position{File: display}, err)
	}
	set, err := Parse(display, data)
	if err != nil {
		return manifest.Set{}, err
	}
	return set, nil
}

// Parse reads data, the content of the file that messages call file.
func Parse(file string, data []byte) (manifest.Set, error) {
	var errs fault.List
	r := reader{errs: &errs}
	root := document.ParseYAML(file, data, &errs)
	fields := root.Fields("version", "fragments", "manifests")
	root.Require(fields, "version", "manifests")
	if v := fields["version"]; v.Given() && v.Text() != FormatVersion {
		v.Errorf("version %q of the format is not known; this release reads version %s", v.Text(), FormatVersion)
	}
	r.search = []string{DefaultFragments}
	if v := fields["fragments"]; v.Given() {
		r.search = nil
		for _, item := range v.Items() {
			r.search = append(r.search, manifest.ReadPath(item).Value)
		}
	}
	set := manifest.Set{File: file}
	for _, p := range fields["manifests"].Pairs() {
		set.Manifests = append(set.Manifests, r.manifest(p))
	}
	if v := fields["manifests"]; v.Given() && len(set.Manifests) == 0 && errs.Len() == 0 {
		v.Errorf("there is no manifest")
	}
	return set, errs.Err()
}

type reader struct {
	errs   *fault.List
	search []string
}

func (r *reader) manifest(p document.Pair) manifest.Manifest {
	m := manifest.Manifest{Name: manifest.ReadText(p.Key, manifest.CheckName)}
	f := p.Value.Fields("base", "template", "fragments", "platforms", "tags", "output")
	p.Value.Require(f, "template", "fragments")
	m.Base = manifest.ReadText(f["base"], manifest.CheckImage)
	m.Template = manifest.ReadPath(f["template"])
	m.Output = manifest.ReadPath(f["output"])
	for _, item := range f["fragments"].Items() {
		m.Fragments = append(m.Fragments, r.fragment(item))
	}
	for _, item := range f["platforms"].Items() {
		m.Platforms = append(m.Platforms, manifest.ReadText(item, manifest.CheckPlatform))
	}
	for _, item := range f["tags"].Items() {
		m.Tags = append(m.Tags, manifest.ReadText(item, manifest.CheckTag))
	}
	manifest.Duplicates(m, r.errs)
	return m
}

func (r *reader) fragment(v document.Value) manifest.Fragment {
	f := v.Fields("name", "version", "path", "order", "params")
	v.Require(f, "name", "version")
	use := manifest.Fragment{
		Name:    manifest.ReadText(f["name"], manifest.CheckName),
		Version: manifest.ReadText(f["version"], manifest.CheckVersion),
	}
	if p := f["path"]; p.Given() {
		use.Dirs = []string{manifest.ReadPath(p).Value}
	} else {
		for _, dir := range r.search {
			use.Dirs = append(use.Dirs, path.Join(dir, use.Name.Value, use.Version.Value))
		}
	}
	if o := f["order"]; o.Given() {
		n := o.Int()
		use.Order, use.OrderAt = &n, o.Position()
	}
	for _, p := range f["params"].Pairs() {
		use.Params = append(use.Params, manifest.Param{Name: manifest.ReadText(p.Key, nil), Value: manifest.ReadText(p.Value, nil)})
	}
	return use
}
