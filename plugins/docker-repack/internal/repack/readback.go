package repack

import (
	"context"
	"fmt"

	"github.com/dockerfactory/dockerfactory/shared/layer"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// verify reads the documents of an image back from the destination and compares
// what they and the layers, which have been read back already, make up with what
// was read from the source.
func (r *run) verify(ctx context.Context, o *original, want *layer.Tree, doc document, layers []*stored, prefix string) error {
	return progress.Do(r.opts.Progress, prefix+"verifying the result", func(progress.Step) error {
		back, err := open(ctx, r.dst, doc.descriptor)
		if err != nil {
			return fmt.Errorf("reading the result back: %w", err)
		}
		sets := make([]*layer.Changeset, len(layers))
		for i, l := range layers {
			sets[i], layers[i].back = l.back, nil
			if got := back.manifest.Layers[i].Digest; got != l.descriptor.Digest || back.config.RootFS.DiffIDs[i] != l.diffID {
				return fmt.Errorf("the result lists layer %s where %s was written", got, l.descriptor.Digest)
			}
		}
		tree, err := mergeBack(sets, layers, want)
		if err != nil {
			return fmt.Errorf("merging the layers of the result: %w", err)
		}
		if diff := compare(o, want, back, tree); len(diff) > 0 {
			return fmt.Errorf("the result differs from the source in %d places, the first %s", len(diff), diff[0])
		}
		return nil
	})
}

// mergeBack merges the layers of a result as they have come back. It is an error if
// a new one has something that engines read in different ways, for then the tree that
// comes out is not what all of them show, and if a directory of the source is listed by
// no layer: engines would give it the time of unpacking.
func mergeBack(sets []*layer.Changeset, layers []*stored, want *layer.Tree) (*layer.Tree, error) {
	var found []layer.Ambiguity
	tree, err := layer.MergeObserved(sets, layer.Observer{Ambiguous: func(a layer.Ambiguity) {
		if layers[a.Layer].kept == nil && a.Shape != layer.RootAttributes && len(found) == 0 {
			found = append(found, a)
		}
	}})
	if err != nil {
		return nil, err
	}
	for _, a := range found {
		return nil, fmt.Errorf("layer %d has %s, at %q", a.Layer, a.Shape, a.Path)
	}
	for e := range tree.All() {
		if source, ok := want.Lookup(e.Path); e.Implied && ok && !source.Implied {
			return nil, fmt.Errorf("no layer has an entry for the directory %q", e.Path)
		}
	}
	return tree, nil
}
