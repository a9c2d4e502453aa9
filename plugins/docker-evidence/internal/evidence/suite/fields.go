package suite

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A parser collects the mistakes of one file.
type parser struct {
	file     string
	mistakes fault.List
	bytes    int  // of strings, those of aliases as often as they are used
	full     bool // bytes exceeded maxExpanded
}

// fields say what to do with the value of each key that a mapping may have.
type fields map[string]func(*yaml.Node)

func (p *parser) at(n *yaml.Node) fault.Position {
	if n == nil {
		return fault.Position{File: p.file}
	}
	return fault.Position{File: p.file, Line: n.Line, Column: n.Column}
}

func (p *parser) errorf(n *yaml.Node, format string, args ...any) {
	p.mistakes.Addf(p.at(n), format, args...)
}

func (p *parser) mapping(n *yaml.Node, what string, known fields) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		p.errorf(n, "%s is %s; it must be a mapping", what, kindOf(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		read, ok := known[k.Value]
		switch {
		case k.Kind != yaml.ScalarNode || !ok:
			p.unknown(k, slices.Sorted(maps.Keys(known)))
		case seen[k.Value]:
			p.errorf(k, "key %q occurs twice", k.Value)
		default:
			read(resolve(v))
		}
		seen[k.Value] = true
	}
}

func (p *parser) unknown(k *yaml.Node, known []string) {
	if near := fault.Nearest(k.Value, known); near != "" {
		p.errorf(k, "unknown key %q; did you mean %q?", k.Value, near)
		return
	}
	p.errorf(k, "unknown key %q; known are %s", k.Value, strings.Join(known, ", "))
}

// sequence returns nil, after reporting it, for what is none.
func (p *parser) sequence(n *yaml.Node, what string) []*yaml.Node {
	n = resolve(n)
	if n.Kind != yaml.SequenceNode {
		p.errorf(n, "%s is %s; it must be a list", what, kindOf(n))
		return nil
	}
	if n.Content == nil {
		return []*yaml.Node{}
	}
	return n.Content
}

// word reads any scalar but null as a string: 3.12 and true are what was typed.
func (p *parser) word(n *yaml.Node, out *string) bool {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode || isNull(n) {
		p.errorf(n, "this is %s; it must be a string", kindOf(n))
		return false
	}
	if strings.ContainsRune(n.Value, 0) {
		p.errorf(n, "the string holds a zero byte")
		return false
	}
	if p.bytes += len(n.Value) + 1; p.bytes > maxExpanded {
		if !p.full {
			p.errorf(n, "with its aliases the suite is larger than %d bytes", maxExpanded)
		}
		p.full = true
		return false
	}
	*out = n.Value
	return true
}

// text reads a string that is not empty.
func (p *parser) text(n *yaml.Node, out *string) bool {
	if !p.word(n, out) {
		return false
	}
	if *out == "" {
		p.errorf(n, "the string is empty")
		return false
	}
	return true
}

func (p *parser) duration(n *yaml.Node, out *time.Duration) {
	var s string
	if !p.text(n, &s) {
		return
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		p.errorf(n, "timeout %q is not a duration such as 30s or 2m", s)
		return
	}
	if d <= 0 || d > maxTimeout {
		p.errorf(n, "timeout %s is not between 0 and %s", s, maxTimeout)
		return
	}
	*out = d
}

func (p *parser) status(n *yaml.Node, out *int) {
	var s string
	if !p.text(n, &s) {
		return
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < 0 || v > 255 {
		p.errorf(n, "exit %q is not a number from 0 to 255", s)
		return
	}
	*out = v
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for depth := 0; n.Kind == yaml.AliasNode && n.Alias != nil && depth < 100; depth++ {
		n = n.Alias
	}
	return n
}

func has(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "empty"
	case n.Kind == yaml.ScalarNode:
		return "a scalar"
	}
	return "something else"
}
