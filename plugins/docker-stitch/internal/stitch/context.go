package stitch

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
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
		for _, source := range parsed.ContextSources(i) {
			entries, err := p.taken(source)
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

// errDerived refuses what cannot be in an image, as it holds the id of the image.
var errDerived = errors.New("rendered by docker stitch: it is left out of the build")

// taken lists what there is of a source.
func (p *Project) taken(source dockerfile.Source) ([]files.Entry, error) {
	list := p.Tree.InventoryLinked
	if source.Exact {
		list = p.Tree.Inventory
	}
	entries, err := list(source.Path)
	if err == nil && source.Exact && len(entries) == 0 {
		err = errDerived
	}
	if err != nil || !source.Parents {
		return entries, err
	}
	parents, err := p.Tree.Parents(source.Path)
	return slices.Concat(parents, entries), err
}

func (p *Project) sourceError(i dockerfile.Instruction, source dockerfile.Source, err error) error {
	named := p.Tree.Display(source.Path)
	switch {
	case errors.Is(err, files.ErrIgnored):
		return fault.Hint(fmt.Errorf("%s takes %s, which is %w", i.Keyword, named, err), "let it into the build context: !%s", source.Path)
	case errors.Is(err, errDerived):
		return fmt.Errorf("%s takes %s, which was %w", i.Keyword, named, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s takes %s, which does not exist", i.Keyword, named)
	}
	return fmt.Errorf("%s takes %s: %w", i.Keyword, named, err)
}
