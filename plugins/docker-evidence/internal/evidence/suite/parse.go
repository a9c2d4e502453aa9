package suite

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// Bounds of what a file may hold.
const (
	MaxSize     = 1 << 20 // bytes
	maxCommands = 1000
	// What strings add up to once aliases are replaced by what they stand for.
	maxExpanded = 8 << 20
	maxTimeout  = 24 * time.Hour
)

// Parse reads the suite in data; file is the name for positions. The error lists
// every mistake.
func Parse(file string, data []byte) (*Suite, error) {
	p := &parser{file: file}
	if len(data) > MaxSize {
		return nil, fault.At(p.at(nil), fmt.Errorf("the suite is larger than %d bytes", MaxSize))
	}
	root, err := p.document(data)
	if err != nil {
		return nil, err
	}
	s := &Suite{
		File:    file,
		Digest:  fmt.Sprintf("sha256:%x", sha256.Sum256(data)),
		Size:    int64(len(data)),
		Name:    strings.TrimSuffix(path.Base(file), path.Ext(file)),
		Network: NetworkNone,
	}
	p.suite(root, s)
	if err := p.mistakes.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

func (p *parser) document(data []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) || (err == nil && (len(doc.Content) == 0 || isNull(doc.Content[0]))) {
		return nil, fault.At(p.at(nil), errors.New("the suite is empty"))
	}
	if err != nil {
		return nil, fault.At(p.at(nil), yamlError(err))
	}
	if err := d.Decode(&next); err == nil {
		return nil, fault.At(p.at(&next), errors.New("a second document; a suite is one"))
	} else if !errors.Is(err, io.EOF) {
		return nil, fault.At(p.at(nil), yamlError(err))
	}
	return doc.Content[0], nil
}

// yamlError drops the package's name from the library's message.
func yamlError(err error) error { return errors.New(strings.TrimPrefix(err.Error(), "yaml: ")) }

func (p *parser) suite(n *yaml.Node, s *Suite) {
	timeout := DefaultTimeout
	var commands *yaml.Node
	p.mapping(n, "the suite", fields{
		"name": func(n *yaml.Node) {
			if p.text(n, &s.Name) {
				p.checkName(n, s.Name)
			}
		},
		"timeout": func(n *yaml.Node) { p.duration(n, &timeout) },
		"network": func(n *yaml.Node) {
			p.text(n, &s.Network)
			if s.Network != NetworkNone && s.Network != NetworkDefault {
				p.errorf(n, "network %q is neither %q nor %q", s.Network, NetworkNone, NetworkDefault)
			}
		},
		"commands": func(n *yaml.Node) { commands = n },
	})
	if commands == nil {
		if n.Kind == yaml.MappingNode {
			p.errorf(n, "the suite has no commands")
		}
		return
	}
	items := p.sequence(commands, "commands")
	if items != nil && len(items) == 0 {
		p.errorf(commands, "the suite has no commands")
	}
	if len(items) > maxCommands {
		p.errorf(commands, "more than %d commands", maxCommands)
		return
	}
	names := map[string]bool{}
	for _, item := range items {
		c := p.command(item, timeout)
		if c.Name != "" && names[c.Name] {
			p.errorf(item, "a second command called %q", c.Name)
		}
		names[c.Name] = true
		s.Commands = append(s.Commands, c)
	}
}

const nameRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// checkName keeps suite names usable as parts of file names.
func (p *parser) checkName(n *yaml.Node, name string) {
	for _, r := range name {
		if !strings.ContainsRune(nameRunes, r) {
			p.errorf(n, "suite name %q may hold letters, digits, -, _ and . only", name)
			return
		}
	}
	if len(name) > 64 || strings.HasPrefix(name, ".") {
		p.errorf(n, "suite name %q is too long or begins with a dot", name)
	}
}
