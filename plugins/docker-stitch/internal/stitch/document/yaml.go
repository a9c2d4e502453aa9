package document

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/text"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// ParseYAML parses data, the content of file, as a single YAML document. All
// mistakes, those of syntax and those found later, are added to errs.
func ParseYAML(file string, data []byte, errs *fault.List) Value {
	d := &doc{file: file, errs: errs}
	var root yaml.Node
	err := yaml.Load(data, &root)
	if err != nil && strings.Contains(err.Error(), "no documents in stream") {
		errs.Addf(fault.Position{File: file}, "file is empty")
		return Value{}
	}
	if err != nil {
		// The parser gives no position for characters that it does not take.
		if _, bad := text.Lines(file, data); bad != nil {
			err = bad
		} else {
			err = yamlFault(file, err)
		}
		errs.Add(err)
		return Value{}
	}
	n := &root
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	if n.Kind == 0 || n.Tag == "!!null" {
		errs.Addf(fault.Position{File: file}, "file is empty")
		return Value{}
	}
	return d.value(n)
}

func yamlFault(file string, err error) error {
	pos := fault.Position{File: file}
	if strings.Contains(err.Error(), "expected single document") {
		return fault.At(pos, errors.New("file has more than one document"))
	}
	var le *yaml.LoadError
	if errors.As(err, &le) {
		pos.Line, pos.Column = le.Mark.Line, le.Mark.Column
		if le.Message != "" {
			return fault.At(pos, errors.New(le.Message))
		}
		return fault.At(pos, errSyntax)
	}
	return fault.At(pos, err)
}
