// Package fragment loads fragments: pieces of Dockerfile text that a manifest
// puts together, each in a directory of its own with what it says of itself.
//
// A fragment is valid Dockerfile text. Its parameters are ARG instructions whose
// default a manifest sets; its own files it copies from the build context called
// "fragment", which stands for its directory wherever that lies:
//
//	ARG APP_PORT=8080
//	COPY --from=fragment app.conf /etc/app.conf
package fragment

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/dockerfile"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/sourcemap"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/text"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Fragment is a fragment as one manifest uses it.
type Fragment struct {
	Use      manifest.Fragment
	Metadata Metadata
	Dir      string // in the project
	Source   []string
	// Lines are Source with the manifest's parameters and the fragment's own
	// paths in place, without empty lines at either end.
	Lines []sourcemap.Line
}

// Order is the manifest's order for the fragment, or else the fragment's own.
func (f Fragment) Order() int {
	if f.Use.Order != nil {
		return *f.Use.Order
	}
	return f.Metadata.Order
}

// File returns the path of the fragment's text in the project.
func (f Fragment) File() string { return path.Join(f.Dir, TextFile) }

// Load reads the fragment that use names and checks all that can be checked of
// it alone. escape is the escape character of the Dockerfile that it will be part
// of. Every mistake is added to errs; ok is false if there was one.
func Load(tree *files.Tree, use manifest.Fragment, escape string, errs *fault.List) (f Fragment, ok bool) {
	before := errs.Len()
	dir, err := find(tree, use)
	if err != nil {
		errs.Add(err)
		return Fragment{}, false
	}
	f = Fragment{Use: use, Dir: dir}
	if m := readMetadata(tree, dir, errs); m != nil {
		f.Metadata = *m
		errs.Add(f.agree(tree))
	}
	data, err := tree.Read(f.File())
	if err == nil {
		f.Source, err = text.Lines(tree.Display(f.File()), data)
		errs.Add(err)
	} else {
		errs.Add(fault.At(fault.Position{File: tree.Display(f.File())}, err))
	}
	if errs.Len() > before {
		return Fragment{}, false
	}
	b := body{Fragment: &f, file: tree.Display(f.File()), escape: escape, errs: errs}
	b.build()
	return f, errs.Len() == before
}

// find returns the first directory that is there.
func find(tree *files.Tree, use manifest.Fragment) (string, error) {
	for _, dir := range use.Dirs {
		if tree.Exists(dir) {
			return dir, nil
		}
	}
	var versions []string
	for _, dir := range use.Dirs {
		versions = append(versions, tree.List(path.Dir(dir))...)
	}
	if len(versions) > 0 {
		err := fault.At(use.Version.At, fmt.Errorf("fragment %q has no version %q", use.Name.Value, use.Version.Value))
		return "", fault.Hint(err, "versions of %s: %s", use.Name.Value, strings.Join(versions, ", "))
	}
	var names, places []string
	for _, dir := range use.Dirs {
		names = append(names, tree.List(path.Dir(path.Dir(dir)))...)
		places = append(places, tree.Display(dir))
	}
	err := fmt.Errorf("there is no fragment %q", use.Name.Value)
	if near := fault.Nearest(use.Name.Value, names); near != "" {
		err = fmt.Errorf("there is no fragment %q; did you mean %q?", use.Name.Value, near)
	}
	return "", fault.Hint(fault.At(use.Name.At, err), "it was looked for in %s", strings.Join(places, ", "))
}

// agree compares what the fragment says of itself with where it was found. A
// directory called "latest" may hold any version.
func (f Fragment) agree(tree *files.Tree) error {
	var errs fault.List
	pos := fault.Position{File: tree.Display(f.Dir)}
	if n := f.Metadata.Name; n != "" && n != f.Use.Name.Value {
		errs.Addf(pos, "fragment calls itself %q, not %q", n, f.Use.Name.Value)
	}
	if v := f.Metadata.Version; v != "" && v != f.Use.Version.Value && f.Use.Version.Value != "latest" {
		errs.Addf(pos, "fragment calls itself version %q, not %q", v, f.Use.Version.Value)
	}
	return errs.Err()
}

// body turns a fragment's source into its lines.
type body struct {
	*Fragment
	file   string // as messages have it
	escape string
	errs   *fault.List
}

func (b *body) at(line int) fault.Position { return fault.Position{File: b.file, Line: line} }

func (b *body) build() {
	for n, name := range dockerfile.Directives(b.Source) {
		b.errs.Add(fault.Hint(fault.At(b.at(n+1), fmt.Errorf("fragment has the directive \"# %s=\", which counts only at the top of a Dockerfile", name)),
			"put it into the template"))
	}
	parsed, err := dockerfile.ParsePart(b.Source, b.escape)
	var line *dockerfile.LineError
	switch {
	case errors.As(err, &line):
		b.errs.Add(fault.At(b.at(line.Line), err))
		return
	case err != nil:
		b.errs.Add(fault.At(b.at(0), err))
		return
	case !dockerfile.Closed(b.Source, b.escape):
		b.errs.Addf(b.at(len(b.Source)), "fragment ends inside of an instruction")
	}
	for _, i := range parsed.Instructions {
		if i.Err != nil {
			b.errs.Add(fault.At(b.at(i.Start), i.Err))
		}
		if i.Keyword == "FROM" && !b.Metadata.Stages {
			b.errs.Add(fault.Hint(fault.At(b.at(i.Start), errors.New("fragment begins a stage of its own")),
				"if that is meant, say \"stages: true\" in its %s", NativeFile))
		}
	}
	edits := edits{}
	b.setParams(parsed, edits)
	b.ownPaths(parsed, edits)
	b.Lines = trim(edits.apply(sourcemap.Lines(sourcemap.Fragment, b.File(), b.Metadata.Name, b.Source)))
}

func trim(lines []sourcemap.Line) []sourcemap.Line {
	empty := func(l sourcemap.Line) bool { return strings.TrimSpace(l.Text) == "" }
	for len(lines) > 0 && empty(lines[0]) {
		lines = lines[1:]
	}
	for len(lines) > 0 && empty(lines[len(lines)-1]) {
		lines = lines[:len(lines)-1]
	}
	return lines
}
