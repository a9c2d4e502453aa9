package layer

import (
	"iter"
	"maps"
	"path"
)

// Directories yields each directory below the root that the layer has, in no
// order, and whether it has an entry for it: without one, there is an entry or a
// marker in it.
func (c *Changeset) Directories() iter.Seq2[string, bool] {
	listed := map[string]bool{}
	for _, r := range c.records {
		dir := path.Dir(r.path)
		switch {
		case r.kind == auxiliaryRecord:
			continue
		case r.kind == opaqueRecord:
			dir = r.path
		case r.kind == entryRecord && r.node.Type == Directory && r.path != ".":
			listed[r.path] = true
		}
		for ; dir != "."; dir = path.Dir(dir) {
			if _, ok := listed[dir]; ok {
				break // and what leads to it
			}
			listed[dir] = false
		}
	}
	return maps.All(listed)
}
