// Package document reads YAML and JSON files so that every mistake in them can be
// reported at its position, all of them in one run.
//
// It decodes no structs: a loader asks a [Value] for what it expects, and what is
// not so is added to the list of mistakes that the document was parsed with.
// Scalars are taken as they are written: the version 1.10 is "1.10".
package document

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Value is a node of a document. The zero Value stands for one that is absent
// or was reported as wrong: it reads as empty.
type Value struct {
	doc  *doc
	node *yaml.Node
}

type doc struct {
	file string
	errs *fault.List
}

// Given reports whether the value is there.
func (v Value) Given() bool { return v.node != nil }

// Position returns where the value stands.
func (v Value) Position() fault.Position {
	if v.node == nil {
		return fault.Position{}
	}
	return fault.Position{File: v.doc.file, Line: v.node.Line, Column: v.node.Column}
}

// Errorf reports a mistake at the value's position.
func (v Value) Errorf(format string, args ...any) {
	v.doc.errs.Addf(v.Position(), format, args...)
}

func (d *doc) value(n *yaml.Node) Value {
	for range 10 { // a chain of aliases
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return Value{d, n}
}

// Text returns a scalar as it is written; "" with a report for anything else.
func (v Value) Text() string {
	if v.node == nil {
		return ""
	}
	if v.node.Kind != yaml.ScalarNode || v.node.Tag == "!!null" {
		v.Errorf("want a string, not %s", v.kind())
		return ""
	}
	return v.node.Value
}

// Check returns a scalar as it is written, and reports what check says about it.
func (v Value) Check(check func(string) error) string {
	if v.node == nil {
		return ""
	}
	if v.node.Kind != yaml.ScalarNode || v.node.Tag == "!!null" {
		return v.Text()
	}
	if err := check(v.node.Value); err != nil {
		v.Errorf("%w", err)
	}
	return v.node.Value
}

// Int returns a whole number.
func (v Value) Int() int {
	if v.node == nil {
		return 0
	}
	n, err := strconv.Atoi(v.node.Value)
	if err != nil || v.node.Kind != yaml.ScalarNode {
		v.Errorf("want a whole number, not %s", v.kind())
	}
	return n
}

// Bool returns true or false.
func (v Value) Bool() bool {
	if v.node == nil {
		return false
	}
	if v.node.Kind != yaml.ScalarNode || (v.node.Value != "true" && v.node.Value != "false") {
		v.Errorf("want true or false, not %s", v.kind())
	}
	return v.node.Value == "true"
}

// Items returns the elements of a sequence.
func (v Value) Items() []Value {
	if v.node == nil {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.Errorf("want a list, not %s", v.kind())
		return nil
	}
	items := make([]Value, len(v.node.Content))
	for i, n := range v.node.Content {
		items[i] = v.doc.value(n)
	}
	return items
}

// A Pair is a key of a mapping and what it maps to.
type Pair struct{ Key, Value Value }

// Pairs returns a mapping whose keys are the author's own choice, in the order of
// the file.
func (v Value) Pairs() []Pair {
	if v.node == nil {
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		v.Errorf("want a mapping, not %s", v.kind())
		return nil
	}
	seen := map[string]bool{}
	var pairs []Pair
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.doc.value(v.node.Content[i])
		if name := key.Text(); seen[name] {
			key.Errorf("key %q is given twice", name)
			continue
		}
		seen[key.node.Value] = true
		pairs = append(pairs, Pair{key, v.doc.value(v.node.Content[i+1])})
	}
	return pairs
}

// Fields returns the values of a mapping that may have the given keys and no
// others; any other key is reported, with the key that was probably meant.
func (v Value) Fields(keys ...string) map[string]Value {
	known := map[string]bool{}
	for _, k := range keys {
		known[k] = true
	}
	fields := map[string]Value{}
	for _, p := range v.Pairs() {
		name := p.Key.node.Value
		if !known[name] {
			p.Key.doc.errs.Add(unknown(p.Key, name, keys))
			continue
		}
		fields[name] = p.Value
	}
	return fields
}

func unknown(at Value, name string, keys []string) error {
	err := fmt.Errorf("unknown key %q", name)
	if near := fault.Nearest(name, keys); near != "" {
		err = fmt.Errorf("unknown key %q; did you mean %q?", name, near)
	} else {
		err = fault.Hint(fault.At(at.Position(), err), "the keys here are: %s", strings.Join(keys, ", "))
		return err
	}
	return fault.At(at.Position(), err)
}

// Require reports the absence of keys at the position of the mapping.
func (v Value) Require(fields map[string]Value, keys ...string) {
	if v.node == nil || v.node.Kind != yaml.MappingNode {
		return
	}
	for _, k := range keys {
		if !fields[k].Given() {
			v.Errorf("key %q is missing", k)
		}
	}
}

func (v Value) kind() string {
	switch {
	case v.node.Kind == yaml.MappingNode:
		return "a mapping"
	case v.node.Kind == yaml.SequenceNode:
		return "a list"
	case v.node.Tag == "!!null":
		return "nothing"
	}
	return strconv.Quote(v.node.Value)
}

// errSyntax is what a syntax error is reported with where the parser gives no
// words of its own.
var errSyntax = errors.New("syntax error")
