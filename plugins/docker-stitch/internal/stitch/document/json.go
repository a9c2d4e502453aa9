package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v4"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// maxDepth bounds how deep a JSON document nests.
const maxDepth = 64

// ParseJSON parses data, the content of file, as one JSON value. All mistakes,
// those of syntax and those found later, are added to errs.
//
// It is no detour by the YAML parser, although the nodes are YAML's: JSON's
// escapes of characters outside of the basic plane are no YAML.
func ParseJSON(file string, data []byte, errs *fault.List) Value {
	p := &jsonParser{data: bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))}
	var raw json.RawMessage
	if err := json.Unmarshal(p.data, &raw); err != nil {
		errs.Add(fault.At(p.fault(file, err), err))
		return Value{}
	}
	p.dec = json.NewDecoder(bytes.NewReader(p.data))
	p.dec.UseNumber()
	n, err := p.value(0)
	if err != nil {
		errs.Add(fault.At(fault.Position{File: file}, err))
		return Value{}
	}
	return (&doc{file: file, errs: errs}).value(n)
}

type jsonParser struct {
	data []byte
	dec  *json.Decoder
}

func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("values nest deeper than %d", maxDepth)
	}
	n := &yaml.Node{}
	n.Line, n.Column = p.position(p.next())
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		n.Kind = yaml.SequenceNode
		if t == '{' {
			n.Kind = yaml.MappingNode
		}
		for p.dec.More() {
			child, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		_, err = p.dec.Token()
		return n, err
	case nil:
		n.Kind, n.Tag, n.Value = yaml.ScalarNode, "!!null", "null"
	default:
		n.Kind, n.Tag, n.Value = yaml.ScalarNode, "!!str", fmt.Sprint(t)
	}
	return n, nil
}

// next returns the offset of the next token: what the decoder has not read yet,
// less white space and punctuation.
func (p *jsonParser) next() int {
	at := int(p.dec.InputOffset())
	for at < len(p.data) && bytes.IndexByte([]byte(" \t\r\n,:"), p.data[at]) >= 0 {
		at++
	}
	return at
}

// position turns an offset into a line and a column, both from 1.
func (p *jsonParser) position(offset int) (line, column int) {
	offset = min(offset, len(p.data))
	before := p.data[:offset]
	return bytes.Count(before, []byte("\n")) + 1, offset - bytes.LastIndexByte(before, '\n')
}

func (p *jsonParser) fault(file string, err error) fault.Position {
	pos := fault.Position{File: file}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		pos.Line, pos.Column = p.position(max(int(syntax.Offset)-1, 0))
	}
	return pos
}
