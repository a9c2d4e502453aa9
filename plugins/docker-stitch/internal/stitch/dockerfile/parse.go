// Package dockerfile looks at Dockerfile text by BuildKit's own parser and
// linter, in the process and without a network.
//
// It deals in lines from 1 and knows nothing of where they come from; package
// assemble maps them back to templates and fragments.
package dockerfile

import (
	"errors"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// An Instruction is one instruction of a Dockerfile.
type Instruction struct {
	Start, End int // lines, both inclusive
	Keyword    string
	Node       *parser.Node
	// Command is what the instruction means: an instructions.Command, a
	// *instructions.Stage for FROM; nil if Err is set.
	Command any
	Err     error
}

// A File is a parsed Dockerfile or a part of one.
type File struct {
	Instructions []Instruction
	Escape       string // the escape character, "\\" or "`"
}

// DefaultEscape is the escape character of a Dockerfile without the directive.
const DefaultEscape = `\`

// ErrEmpty says that a text has no instruction.
var ErrEmpty = errors.New("there is no instruction")

// A LineError is a mistake at a line.
type LineError struct {
	Line int
	Err  error
}

func (e *LineError) Error() string { return e.Err.Error() }
func (e *LineError) Unwrap() error { return e.Err }

// Parse parses lines. An error is a *LineError or [ErrEmpty]; mistakes inside of
// single instructions are in Instruction.Err instead, so that all can be told.
func Parse(lines []string) (File, error) {
	if !hasInstruction(lines) {
		return File{}, ErrEmpty
	}
	result, err := parser.Parse(strings.NewReader(strings.Join(lines, "\n") + "\n"))
	if err != nil {
		return File{}, lineError(err)
	}
	f := File{Escape: string(result.EscapeToken)}
	for _, node := range result.AST.Children {
		f.Instructions = append(f.Instructions, instruction(node))
	}
	return f, nil
}

func instruction(node *parser.Node) Instruction {
	i := Instruction{Start: node.StartLine, End: node.EndLine, Keyword: strings.ToUpper(node.Value), Node: node}
	if i.Command, i.Err = instructions.ParseInstruction(node); i.Err != nil {
		i.Command = nil // it may be a typed nil
	}
	return i
}

// ParsePart parses lines that will be part of a Dockerfile with the given escape
// character, as [Parse] does a whole one.
func ParsePart(lines []string, escape string) (File, error) {
	if escape == DefaultEscape || !hasInstruction(lines) {
		return Parse(lines)
	}
	f, err := Parse(append([]string{"# escape=" + escape}, lines...))
	for n := range f.Instructions {
		f.Instructions[n].Start--
		f.Instructions[n].End--
	}
	var line *LineError
	if errors.As(err, &line) && line.Line > 1 {
		line.Line--
	}
	return f, err
}

// Trigger returns the instruction of an ONBUILD.
func (i Instruction) Trigger() (Instruction, bool) {
	if i.Keyword != "ONBUILD" || i.Node.Next == nil || len(i.Node.Next.Children) != 1 {
		return Instruction{}, false
	}
	t := instruction(i.Node.Next.Children[0])
	t.Start, t.End = i.Start, i.End
	return t, t.Err == nil
}

func hasInstruction(lines []string) bool {
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			return true
		}
	}
	return false
}

// lineError takes the line from an error of BuildKit's parser, and drops the
// remarks on lines in its text, which the position makes superfluous.
func lineError(err error) *LineError {
	e := &LineError{Err: errors.New(strings.TrimPrefix(err.Error(), "dockerfile parse error: "))}
	var located *parser.LocationError
	if errors.As(err, &located) {
		for _, ranges := range located.Locations {
			for _, r := range ranges {
				if e.Line == 0 || r.Start.Line < e.Line {
					e.Line = r.Start.Line
				}
			}
		}
	}
	return e
}

// Directives returns how many of the first lines are parser directives, such as
// "# syntax=docker/dockerfile:1", and the name of each.
func Directives(lines []string) []string {
	var names []string
	p := parser.DirectiveParser{}
	for _, l := range lines {
		d, err := p.ParseLine([]byte(l))
		if err != nil || d == nil {
			break
		}
		names = append(names, d.Name)
	}
	return names
}

// Closed reports whether lines, part of a Dockerfile with the given escape
// character, end where an instruction ends: an instruction put behind them stands
// on its own.
func Closed(lines []string, escape string) bool {
	const sentinel = "STOPSIGNAL SIGTERM"
	f, err := ParsePart(append(append([]string(nil), lines...), sentinel), escape)
	if err != nil {
		return false
	}
	last := f.Instructions[len(f.Instructions)-1]
	return last.Start == len(lines)+1 && last.Keyword == "STOPSIGNAL"
}
