// Package fault carries what a user needs besides an error's message: where the
// mistake is and what to do about it. Domain packages attach both; only
// shared/cliplugin prints them.
//
// It knows no terminal and no exit status.
package fault

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// A Position is a place in a file that a user wrote. Line and Column count from
// 1; 0 means not known.
type Position struct {
	File   string
	Line   int
	Column int
}

// String gives "file:line:col", leaving out what is not known.
func (p Position) String() string {
	s := p.File
	if p.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, p.Line)
		if p.Column > 0 {
			s = fmt.Sprintf("%s:%d", s, p.Column)
		}
	}
	return s
}

// IsZero reports whether nothing is known about the place.
func (p Position) IsZero() bool { return p == Position{} }

type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }
func (h *hinted) Hint() string  { return h.hint }

// Hint wraps err with the command or edit that mends it. A nil err stays nil.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// HintOf returns the outermost hint attached to err, or "".
func HintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

type positioned struct {
	error
	pos Position
}

func (p *positioned) Error() string {
	if p.pos.IsZero() {
		return p.error.Error()
	}
	return p.pos.String() + ": " + p.error.Error()
}
func (p *positioned) Unwrap() error      { return p.error }
func (p *positioned) Position() Position { return p.pos }

// At wraps err with the place of the mistake; its message then begins with
// "file:line:col: ". A nil err stays nil.
func At(pos Position, err error) error {
	if err == nil {
		return nil
	}
	return &positioned{err, pos}
}

// PositionOf returns the outermost position attached to err.
func PositionOf(err error) Position {
	var p interface{ Position() Position }
	if errors.As(err, &p) {
		return p.Position()
	}
	return Position{}
}

// A List collects mistakes so that all of them are reported in one run. The
// zero value is ready for use.
type List struct{ errs []error }

// Add appends err; a nil err is ignored, a joined or listed one is flattened.
func (l *List) Add(err error) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			l.Add(e)
		}
		return
	}
	l.errs = append(l.errs, err)
}

// Addf appends a mistake at pos.
func (l *List) Addf(pos Position, format string, args ...any) {
	l.Add(At(pos, fmt.Errorf(format, args...)))
}

// Len returns the number of mistakes.
func (l *List) Len() int { return len(l.errs) }

// All returns the mistakes in the order in which they were added.
func (l *List) All() []error { return append([]error(nil), l.errs...) }

// Err returns nil if nothing was added, the single error, or all of them in the
// order of their positions as one error that unwraps to each.
func (l *List) Err() error {
	switch len(l.errs) {
	case 0:
		return nil
	case 1:
		return l.errs[0]
	}
	errs := append([]error(nil), l.errs...)
	sort.SliceStable(errs, func(i, j int) bool {
		a, b := PositionOf(errs[i]), PositionOf(errs[j])
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	return errors.Join(errs...)
}

// Nearest returns the candidate closest to word by edit distance, if it is close
// enough to be a likely misspelling, for "did you mean" hints; otherwise "".
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", len(word)/3+2
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
