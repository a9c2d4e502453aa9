package stitch

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/dockerfile"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/sourcemap"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// contextFiles lists what the Dockerfile takes from the build context, ordered by
// path. Where an instruction names its sources by a pattern or variable, all that
// it can mean counts.
func (p *Project) contextFiles(r *Rendered, errs *fault.List) []files.Entry {
	parsed, err := dockerfile.Parse(sourcemap.Texts(r.Lines))
	if err != nil {
		return nil // the linter says the same, with the line
	}
	found := map[string]files.Entry{}
	for _, i := range parsed.Instructions {
		for _, source := range dockerfile.ContextSources(i) {
			entries, err := p.Tree.Inventory(source.Path)
			missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, files.ErrIgnored)
			if err != nil && (source.Exact || !missing) {
				errs.Add(fault.At(r.Position(i.Start), p.sourceError(i, source, err)))
			}
			for _, e := range entries {
				found[e.Path] = e
			}
		}
	}
	entries := make([]files.Entry, 0, len(found))
	for _, e := range found {
		entries = append(entries, e)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Path < entries[j].Path })
	return entries
}

func (p *Project) sourceError(i dockerfile.Instruction, source dockerfile.Source, err error) error {
	named := p.Tree.Display(source.Path)
	switch {
	case errors.Is(err, files.ErrIgnored):
		return fault.Hint(fmt.Errorf("%s takes %s, which is %w", i.Keyword, named, err), "let it into the build context: !%s", source.Path)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s takes %s, which does not exist", i.Keyword, named)
	}
	return fmt.Errorf("%s takes %s: %w", i.Keyword, named, err)
}
