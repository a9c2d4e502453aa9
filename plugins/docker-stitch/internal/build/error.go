package build

import (
	"regexp"

	"github.com/moby/buildkit/solver/errdefs"
)

// An Error is a failed build.
type Error struct {
	Line int // from 1; 0 if not known
	Err  error
}

func (e *Error) Error() string { return clean(e.Err.Error()) }
func (e *Error) Unwrap() error { return e.Err }

// located finds the line that a solver's error is about.
func located(err error) error {
	for _, s := range errdefs.Sources(err) {
		if s.Info != nil && s.Info.Filename != filename {
			continue
		}
		for _, r := range s.Ranges {
			if line := int(r.Start.Line); line > 0 {
				return &Error{Line: line, Err: err}
			}
		}
	}
	return &Error{Err: err}
}

// What wraps a failed step says "failed to solve" once or twice, and "rpc error"
// where it came over the wire: nothing that a reader needs.
var noise = regexp.MustCompile(`^(failed to solve: |rpc error: code = \w+ desc = |dockerfile parse error on line \d+: )+`)

func clean(message string) string { return noise.ReplaceAllString(message, "") }
