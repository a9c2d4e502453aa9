package daemon

import "strings"

// A table is a TOML file, or a part of one.
type table map[string]any

// key returns the key of t that stands for name. BuildKit's loader takes keys in
// upper or lower case alike, so "Root" is "root".
func (t table) key(name string) string {
	if _, ok := t[name]; ok {
		return name
	}
	found := name
	for k := range t {
		if strings.EqualFold(k, name) && (found == name || k < found) {
			found = k
		}
	}
	return found
}

func (t table) get(path ...string) (any, bool) {
	for _, name := range path[:len(path)-1] {
		next, ok := t[t.key(name)].(map[string]any)
		if !ok {
			return nil, false
		}
		t = next
	}
	v, ok := t[t.key(path[len(path)-1])]
	return v, ok
}

func (t table) set(value any, path ...string) {
	for _, name := range path[:len(path)-1] {
		next, ok := t[t.key(name)].(map[string]any)
		if !ok {
			next = map[string]any{}
			t.only(name, next)
		}
		t = next
	}
	t.only(path[len(path)-1], value)
}

// only sets a key and removes those that stand for the same.
func (t table) only(name string, value any) {
	for k := range t {
		if strings.EqualFold(k, name) {
			delete(t, k)
		}
	}
	t[name] = value
}

func (t table) replace(ignored *[]string, name string, value table) {
	if _, ok := t.get(name); ok {
		*ignored = append(*ignored, name)
	}
	t.only(name, map[string]any(value))
}
