package suite

import (
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// shell runs a command that is written as one string, as in a Dockerfile.
var shell = []string{"/bin/sh", "-c"}

func (p *parser) command(n *yaml.Node, timeout time.Duration) Command {
	n = resolve(n)
	c := Command{Timeout: timeout, At: p.at(n)}
	p.mapping(n, "a command", fields{
		"name": func(n *yaml.Node) {
			if p.text(n, &c.Name) && strings.ContainsAny(c.Name, "\n\r") {
				p.errorf(n, "the name goes over several lines")
			}
		},
		"run":     func(n *yaml.Node) { c.Args = p.args(n) },
		"exit":    func(n *yaml.Node) { p.status(n, &c.Exit) },
		"stdout":  func(n *yaml.Node) { c.Stdout = p.patterns(n) },
		"stderr":  func(n *yaml.Node) { c.Stderr = p.patterns(n) },
		"env":     func(n *yaml.Node) { c.Env = p.env(n) },
		"user":    func(n *yaml.Node) { p.text(n, &c.User) },
		"timeout": func(n *yaml.Node) { p.duration(n, &c.Timeout) },
		"workdir": func(n *yaml.Node) {
			if p.text(n, &c.Workdir) && !path.IsAbs(c.Workdir) {
				p.errorf(n, "workdir %q is not an absolute path", c.Workdir)
			}
		},
	})
	if n.Kind == yaml.MappingNode && !has(n, "run") {
		p.errorf(n, "the command has no run")
	}
	if c.Name == "" && len(c.Args) > 0 {
		c.Name = strings.Join(strings.Fields(lastOf(c.Args)), " ")
	}
	return c
}

// lastOf gives an unnamed command a name: the line for the shell, or the words.
func lastOf(args []string) string {
	if len(args) == len(shell)+1 && args[0] == shell[0] && args[1] == shell[1] {
		return args[len(shell)]
	}
	return strings.Join(args, " ")
}

func (p *parser) args(n *yaml.Node) []string {
	n = resolve(n)
	if n.Kind == yaml.ScalarNode {
		var line string
		if !p.text(n, &line) {
			return nil
		}
		if strings.TrimSpace(line) == "" {
			p.errorf(n, "run is empty")
			return nil
		}
		return append(append([]string(nil), shell...), line)
	}
	items := p.sequence(n, "run")
	args := make([]string, 0, len(items))
	for _, item := range items {
		var arg string
		p.word(item, &arg)
		if p.full {
			return nil
		}
		args = append(args, arg)
	}
	if items != nil && (len(args) == 0 || args[0] == "") {
		p.errorf(n, "run is empty")
	}
	return args
}

func (p *parser) patterns(n *yaml.Node) []Pattern {
	n = resolve(n)
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var out []Pattern
	for _, item := range items {
		var s string
		if !p.word(item, &s) {
			if p.full {
				return nil
			}
			continue
		}
		pattern, err := NewPattern(s)
		if err != nil {
			p.errorf(item, "%v", err)
			continue
		}
		out = append(out, pattern)
	}
	return out
}

func (p *parser) env(n *yaml.Node) []Variable {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		p.errorf(n, "env is %s; it must be a mapping of names to values", kindOf(n))
		return nil
	}
	var out []Variable
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], resolve(n.Content[i+1])
		v := Variable{Name: name.Value, At: p.at(name)}
		switch {
		case v.Name == "" || strings.ContainsAny(v.Name, "=\x00") || name.Kind != yaml.ScalarNode:
			p.errorf(name, "%q cannot be the name of a variable", v.Name)
		case seen[v.Name]:
			p.errorf(name, "variable %s is set twice", v.Name)
		}
		seen[v.Name] = true
		if isNull(value) {
			v.FromCaller = true
		} else {
			p.word(value, &v.Value)
		}
		out = append(out, v)
	}
	return out
}
