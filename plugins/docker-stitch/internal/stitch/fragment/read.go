package fragment

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/document"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// readMetadata returns nil after a mistake, which it adds to errs.
func readMetadata(tree *files.Tree, dir string, errs *fault.List) *Metadata {
	native, foreign := path.Join(dir, NativeFile), path.Join(dir, FactoryFile)
	name := native
	switch {
	case tree.Exists(native) && tree.Exists(foreign):
		errs.Addf(fault.Position{File: tree.Display(dir)}, "fragment has both %s and %s", NativeFile, FactoryFile)
		return nil
	case tree.Exists(foreign):
		name = foreign
	}
	display := tree.Display(name)
	data, err := tree.Read(name)
	if err != nil {
		errs.Add(fault.At(fault.Position{File: display}, err))
		return nil
	}
	before := errs.Len()
	m := parseMetadata(display, data, name == foreign, errs)
	if errs.Len() > before {
		return nil
	}
	return m
}

func parseMetadata(display string, data []byte, foreign bool, errs *fault.List) *Metadata {
	var root document.Value
	keys := []string{"name", "version", "order", "description"}
	if foreign {
		root = document.ParseJSON(display, data, errs)
	} else {
		root = document.ParseYAML(display, data, errs)
		keys = append(keys, "stages", "params")
	}
	f := root.Fields(keys...)
	m := &Metadata{
		Name:        manifest.ReadText(f["name"], manifest.CheckName).Value,
		Version:     manifest.ReadText(f["version"], manifest.CheckVersion).Value,
		Order:       DefaultOrder,
		Description: f["description"].Text(),
		Stages:      f["stages"].Bool(),
	}
	if o := f["order"]; o.Given() {
		m.Order = o.Int()
	}
	for _, p := range f["params"].Pairs() {
		m.Params = append(m.Params, readParameter(p))
	}
	return m
}

var argName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func readParameter(p document.Pair) *Parameter {
	name := p.Key.Check(func(s string) error {
		if !argName.MatchString(s) {
			return fmt.Errorf("parameter %q is no name for an ARG", s)
		}
		return nil
	})
	f := p.Value.Fields("type", "values", "pattern", "description")
	param := &Parameter{Name: name, Type: "string", Pattern: f["pattern"].Text(), Description: f["description"].Text(), at: p.Key.Position()}
	if t := f["type"]; t.Given() {
		param.Type = t.Check(checkType)
	}
	for _, v := range f["values"].Items() {
		param.Values = append(param.Values, v.Text())
	}
	if param.Pattern != "" {
		re, err := regexp.Compile("^(?:" + param.Pattern + ")$")
		if err != nil {
			f["pattern"].Errorf("pattern: %w", err)
		}
		param.pattern = re
	}
	return param
}

func checkType(s string) error {
	if slices.Contains(paramTypes, s) {
		return nil
	}
	if near := fault.Nearest(s, paramTypes); near != "" {
		return fmt.Errorf("unknown type %q; did you mean %q?", s, near)
	}
	return errors.New("type is none of string, integer, boolean")
}
