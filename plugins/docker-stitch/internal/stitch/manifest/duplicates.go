package manifest

import "github.com/dockerfactory/dockerfactory/shared/fault"

// Duplicates reports to errs fragments, platforms, tags and params that a
// manifest names twice.
func Duplicates(m Manifest, errs *fault.List) {
	var names []Text
	for _, f := range m.Fragments {
		names = append(names, f.Name)
	}
	twice(errs, "fragment", names)
	twice(errs, "platform", m.Platforms)
	twice(errs, "tag", m.Tags)
}

func twice(errs *fault.List, what string, texts []Text) {
	seen := map[string]bool{}
	for _, t := range texts {
		if t.Value != "" && seen[t.Value] {
			errs.Addf(t.At, "%s %q is named twice", what, t.Value)
		}
		seen[t.Value] = true
	}
}
