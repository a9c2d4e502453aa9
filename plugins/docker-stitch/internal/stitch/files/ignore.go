package files

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// IgnoreFile is the file whose patterns keep files out of the build context.
const IgnoreFile = ".dockerignore"

// matcher returns the patterns of the project's .dockerignore, or nil.
func (t *Tree) matcher() (*patternmatcher.PatternMatcher, error) {
	t.ignoreOnce.Do(func() {
		data, err := t.Read(IgnoreFile)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err == nil {
			t.ignore, err = parseIgnore(data)
		}
		if err != nil {
			t.ignoreErr = fmt.Errorf("reading %s: %w", t.Display(IgnoreFile), err)
		}
	})
	return t.ignore, t.ignoreErr
}

func parseIgnore(data []byte) (*patternmatcher.PatternMatcher, error) {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(data))
	if err != nil || len(patterns) == 0 {
		return nil, err
	}
	return patternmatcher.New(patterns)
}

// ignored reports whether name, or a directory that it lies in, is kept out of
// the build context.
func (t *Tree) ignored(name string) (bool, error) {
	m, err := t.matcher()
	if err != nil || m == nil || name == "." {
		return false, err
	}
	return m.MatchesOrParentMatches(name)
}

// mayInclude reports whether something below an ignored directory can be in the
// context nevertheless.
func (t *Tree) mayInclude() bool { return t.ignore != nil && t.ignore.Exclusions() }
