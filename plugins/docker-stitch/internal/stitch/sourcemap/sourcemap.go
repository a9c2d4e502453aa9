// Package sourcemap tells where each line of a rendered Dockerfile comes from.
package sourcemap

import "github.com/dockerfactory/dockerfactory/shared/fault"

// A Kind is what wrote a line.
type Kind string

// The kinds of lines.
const (
	Template  Kind = "template"
	Fragment  Kind = "fragment"
	Generated Kind = "generated" // the header, the labels, and comments between fragments
)

// A Line is a line of a rendered Dockerfile.
type Line struct {
	Text     string
	Kind     Kind
	File     string // relative to the project; "" for generated lines
	Line     int    // in File, from 1
	Fragment string // name of the fragment
}

// Lines makes the lines of a source file.
func Lines(kind Kind, file, fragment string, texts []string) []Line {
	lines := make([]Line, len(texts))
	for i, t := range texts {
		lines[i] = Line{Text: t, Kind: kind, File: file, Line: i + 1, Fragment: fragment}
	}
	return lines
}

// Texts returns the text of each line.
func Texts(lines []Line) []string {
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.Text
	}
	return texts
}

// Position returns where line n, counted from 1, was written. A generated line
// belongs to the nearest written line above it, or else below it. display makes
// the name of the file as messages have it.
func Position(lines []Line, n int, display func(string) string) fault.Position {
	if n < 1 || n > len(lines) {
		return fault.Position{}
	}
	for i := n - 1; i >= 0; i-- {
		if l := lines[i]; l.File != "" {
			return fault.Position{File: display(l.File), Line: l.Line}
		}
	}
	for _, l := range lines[n:] {
		if l.File != "" {
			return fault.Position{File: display(l.File), Line: l.Line}
		}
	}
	return fault.Position{}
}
