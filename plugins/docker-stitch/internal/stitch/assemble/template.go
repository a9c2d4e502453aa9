package assemble

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/dockerfile"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/sourcemap"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/text"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// BaseArg is the ARG by which a template takes the manifest's base image.
const BaseArg = "BASE_IMAGE"

// A Template is the Dockerfile text that fragments are put into.
type Template struct {
	File   string // in the project
	Source []string
	Escape string // escape character

	display    string
	directives int // how many lines at the top are parser directives
	slots      []slot
	lines      []sourcemap.Line // Source with the base image in place
}

// LoadTemplate reads a manifest's template, sets its base image and checks what
// can be checked of it alone. Every mistake is added to errs; t is still good for
// finding further mistakes, unless ok is false.
func LoadTemplate(tree *files.Tree, m manifest.Manifest, errs *fault.List) (t Template, ok bool) {
	t = Template{File: m.Template.Value, Escape: dockerfile.DefaultEscape, display: tree.Display(m.Template.Value)}
	data, err := tree.Read(t.File)
	if err != nil {
		errs.Add(fault.At(m.Template.At, fmt.Errorf("reading template %s: %w", t.display, err)))
		return t, false
	}
	if t.Source, err = text.Lines(t.display, data); err != nil {
		errs.Add(err)
		return t, false
	}
	t.lines = sourcemap.Lines(sourcemap.Template, t.File, "", t.Source)
	t.directives = len(dockerfile.Directives(t.Source))
	parsed, err := dockerfile.Parse(t.Source)
	if err != nil {
		var line *dockerfile.LineError
		pos := fault.Position{File: t.display}
		if errors.As(err, &line) {
			pos.Line = line.Line
		}
		errs.Add(fault.At(pos, err))
		t.slots = slots(t.display, t.Source, nil, errs)
		return t, true
	}
	t.Escape = parsed.Escape
	t.slots = slots(t.display, t.Source, &parsed, errs)
	t.check(parsed, errs)
	t.setBase(parsed, m.Base, errs)
	return t, true
}

func (t Template) at(line int) fault.Position { return fault.Position{File: t.display, Line: line} }

func (t Template) check(parsed dockerfile.File, errs *fault.List) {
	stages := 0
	for _, i := range parsed.Instructions {
		if i.Err != nil {
			errs.Add(fault.At(t.at(i.Start), i.Err))
		}
		if i.Keyword == "FROM" {
			stages++
		}
	}
	if stages == 0 {
		errs.Addf(t.at(0), "template has no FROM")
	}
	if strings.HasPrefix(t.Source[0], "#!") {
		errs.Addf(t.at(1), "template begins with \"#!\": the directives below would have no effect")
	}
	if !dockerfile.Closed(t.Source, dockerfile.DefaultEscape) {
		errs.Addf(t.at(len(t.Source)), "template ends inside of an instruction")
	}
}

// setBase makes base the default of the template's ARG BASE_IMAGE. A template
// without that ARG must name the very image, or the manifest would say what does
// not come true.
func (t *Template) setBase(parsed dockerfile.File, base manifest.Text, errs *fault.List) {
	args := parsed.Args(BaseArg, true)
	if base.Value == "" {
		return
	}
	for _, a := range args {
		if !a.Alone {
			errs.Addf(t.at(a.Instruction.Start), "ARG %s is declared together with others: give it an instruction of its own", BaseArg)
			return
		}
		first := a.Instruction.Start - 1
		t.lines[first].Text = dockerfile.FormatArg(BaseArg, base.Value, t.Escape)
		for n := first + 1; n < a.Instruction.End; n++ {
			t.lines[n].Text = "#" // lines must keep their numbers
		}
	}
	if len(args) == 0 && !namesImage(parsed, base.Value) {
		errs.Add(fault.Hint(fault.At(base.At, fmt.Errorf("base image %q has no effect on template %s", base.Value, t.display)),
			"put \"ARG %s=%s\" before the template's FROM and use it there: FROM ${%s}", BaseArg, base.Value, BaseArg))
	}
}
