package stitch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/assemble"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/dockerfile"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/fragment"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/identity"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/sourcemap"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// A Rendered is a Dockerfile and where it comes from.
type Rendered struct {
	Manifest   manifest.Manifest
	ID         string // manifest id
	Dockerfile []byte
	Lines      []sourcemap.Line
	Warnings   []Warning

	tree *files.Tree
}

// A Warning is what BuildKit's linter says about a line of a source file.
type Warning struct {
	At      fault.Position `json:"-"`
	Rule    string         `json:"rule"`
	Message string         `json:"message"`
	URL     string         `json:"url,omitempty"`
}

func (w Warning) String() string { return fmt.Sprintf("%s: %s: %s", w.At, w.Rule, w.Message) }

// Position returns where line n of the Dockerfile was written.
func (r *Rendered) Position(n int) fault.Position {
	return sourcemap.Position(r.Lines, n, r.tree.Display)
}

// Map returns the source map.
func (r *Rendered) Map() sourcemap.Map {
	return sourcemap.New(r.Manifest.Name.Value, r.ID, r.Lines)
}

// Render renders the manifest called name, which may be "" where there is only
// one. The error lists every mistake in the manifest, its template, its fragments
// and the result, each at its position.
func (p *Project) Render(ctx context.Context, name string) (*Rendered, error) {
	m, err := p.Set.Find(name)
	if err != nil {
		return nil, err
	}
	var errs fault.List
	template, readable := assemble.LoadTemplate(p.Tree, m, &errs)
	var fragments []fragment.Fragment
	for _, use := range m.Fragments {
		if f, ok := fragment.Load(p.Tree, use, template.Escape, &errs); ok {
			fragments = append(fragments, f)
		}
	}
	if readable {
		template.CheckNames(m, &errs)
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}

	body, used, head := template.Assemble(fragments, &errs)
	r := &Rendered{Manifest: m, tree: p.Tree}
	r.frame(body, head)
	entries := p.contextFiles(r, &errs)
	p.lint(ctx, r, &errs)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	r.ID, err = identity.Inputs{Manifest: m, Template: template.Source, Fragments: used, Files: entries}.ID()
	if err != nil {
		return nil, err
	}
	r.frame(body, head)
	return r, ctx.Err()
}

// frame puts header and labels around the lines, with the id as far as it is
// known. The labels come last: a label changes no step before it.
func (r *Rendered) frame(body []sourcemap.Line, head int) {
	generated := func(text string) sourcemap.Line {
		return sourcemap.Line{Text: text, Kind: sourcemap.Generated}
	}
	name := r.Manifest.Name.Value
	header := []sourcemap.Line{
		generated(files.Header(name, r.ID)),
		generated("# Do not edit: change the manifest, template or fragments and render again."),
	}
	if head < len(body) && body[head].Text != "" {
		// A comment that touches an instruction counts as its description.
		header = append(header, generated(""))
	}
	r.Lines = slices.Concat(body[:head], header, body[head:], []sourcemap.Line{
		generated(""),
		generated(fmt.Sprintf("LABEL %s=%q %s=%q", wire.LabelManifestName, name, wire.LabelManifestID, r.ID)),
	})
	r.Dockerfile = []byte(strings.Join(sourcemap.Texts(r.Lines), "\n") + "\n")
}

// lint adds the linter's warnings to r and what makes a build impossible to errs.
func (p *Project) lint(ctx context.Context, r *Rendered, errs *fault.List) {
	warnings, err := dockerfile.Lint(ctx, r.Dockerfile)
	for _, w := range warnings {
		r.Warnings = append(r.Warnings, Warning{At: r.Position(w.Line), Rule: w.Rule, Message: w.Message, URL: w.URL})
	}
	var line *dockerfile.LineError
	if errors.As(err, &line) {
		errs.Add(fault.At(r.Position(line.Line), err))
	} else {
		errs.Add(err)
	}
}
