// Package factory reads the manifest store of the Factory layout: one JSON file
// of manifests, beside it directories of modules, which are fragments here, and
// of templates.
//
//	control_plane/data/manifest.json
//	control_plane/data/modules/NAME/VERSION/{module.json,Dockerfile.fragment}
//	dockerfiles/templates/ID/VERSION/Dockerfile.tpl
//
// Everything in a store counts: base_image, which Factory's own renderer leaves
// out, replaces the default of the template's ARG BASE_IMAGE.
package factory

import (
	"path"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/document"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Layout says where the parts of a checkout lie, relative to its root. Empty
// fields stand for the usual places.
type Layout struct {
	Store     string
	Modules   string
	Templates string
}

// The usual places, and the names that stand for what a manifest leaves out.
const (
	DefaultStore     = "control_plane/data/manifest.json"
	DefaultModules   = "control_plane/data/modules"
	DefaultTemplates = "dockerfiles/templates"

	defaultTemplate = "default"
	defaultVersion  = "latest"
	defaultOutput   = "dockerfiles/Dockerfile.rendered"
)

func (l Layout) withDefaults() Layout {
	for field, value := range map[*string]string{&l.Store: DefaultStore, &l.Modules: DefaultModules, &l.Templates: DefaultTemplates} {
		if *field == "" {
			*field = value
		}
	}
	return l
}

// Load reads the store in tree. The error lists every mistake.
func Load(tree *files.Tree, l Layout) (manifest.Set, error) {
	l = l.withDefaults()
	display := tree.Display(l.Store)
	data, err := tree.Read(l.Store)
	if err != nil {
		return manifest.Set{}, fault.At(fault.Position{File: display}, err)
	}
	return Parse(display, data, l)
}

// Parse reads data, the content of the store that messages call file.
func Parse(file string, data []byte, l Layout) (manifest.Set, error) {
	var errs fault.List
	r := reader{errs: &errs, layout: l.withDefaults()}
	root := document.ParseJSON(file, data, &errs)
	set := manifest.Set{File: file}
	for _, p := range root.Pairs() {
		set.Manifests = append(set.Manifests, r.manifest(p))
	}
	if root.Given() && len(set.Manifests) == 0 && errs.Len() == 0 {
		root.Errorf("there is no manifest")
	}
	return set, errs.Err()
}

type reader struct {
	errs   *fault.List
	layout Layout
}

func (r *reader) manifest(p document.Pair) manifest.Manifest {
	m := manifest.Manifest{Name: manifest.ReadText(p.Key, manifest.CheckName)}
	f := p.Value.Fields("template", "modules", "base_image", "output")
	p.Value.Require(f, "modules")
	m.Base = manifest.ReadText(f["base_image"], manifest.CheckImage)
	m.Template = r.template(p, f["template"])
	m.Output = manifest.Text{Value: defaultOutput, At: p.Key.Position()}
	if v := f["output"]; v.Given() {
		m.Output = manifest.ReadPath(v)
	}
	for _, item := range f["modules"].Items() {
		m.Fragments = append(m.Fragments, r.module(item))
	}
	manifest.Duplicates(m, r.errs)
	return m
}

func (r *reader) template(p document.Pair, v document.Value) manifest.Text {
	f := v.Fields("id", "version", "path")
	if given := f["path"]; given.Given() {
		for _, key := range []string{"id", "version"} {
			if f[key].Given() {
				f[key].Errorf("%q has no effect beside \"path\"", key)
			}
		}
		return manifest.ReadPath(given)
	}
	at := p.Key.Position()
	if v.Given() {
		at = v.Position()
	}
	id := r.or(f["id"], defaultTemplate, manifest.CheckName)
	version := r.or(f["version"], defaultVersion, manifest.CheckVersion)
	return manifest.Text{Value: path.Join(r.layout.Templates, id.Value, version.Value, "Dockerfile.tpl"), At: at}
}

func (r *reader) module(v document.Value) manifest.Fragment {
	f := v.Fields("name", "version", "path")
	v.Require(f, "name")
	use := manifest.Fragment{
		Name:    manifest.ReadText(f["name"], manifest.CheckName),
		Version: r.or(f["version"], defaultVersion, manifest.CheckVersion),
	}
	if use.Version.At.IsZero() {
		use.Version.At = use.Name.At
	}
	if p := f["path"]; p.Given() {
		use.Dirs = []string{manifest.ReadPath(p).Value}
	} else {
		use.Dirs = []string{path.Join(r.layout.Modules, use.Name.Value, use.Version.Value)}
	}
	return use
}

func (r *reader) or(v document.Value, absent string, check func(string) error) manifest.Text {
	if !v.Given() {
		return manifest.Text{Value: absent}
	}
	return manifest.ReadText(v, check)
}
