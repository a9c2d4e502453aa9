package suite

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// A Pattern is what an output must contain: a string, or, between slashes, a
// regular expression (RE2; ^ and $ match at lines).
type Pattern struct {
	text   string
	regexp *regexp.Regexp
}

// NewPattern reads a pattern.
func NewPattern(s string) (Pattern, error) {
	if s == "" {
		return Pattern{}, fmt.Errorf("an empty pattern matches everything")
	}
	if len(s) < 3 || !strings.HasPrefix(s, "/") || !strings.HasSuffix(s, "/") {
		return Pattern{text: s}, nil
	}
	if _, err := regexp.Compile(s[1 : len(s)-1]); err != nil {
		return Pattern{}, fmt.Errorf("regular expression: %w", err)
	}
	re, err := regexp.Compile("(?m)" + s[1:len(s)-1])
	if err != nil {
		return Pattern{}, fmt.Errorf("regular expression: %w", err)
	}
	return Pattern{s, re}, nil
}

// Match reports whether output contains what the pattern asks for.
func (p Pattern) Match(output []byte) bool {
	if p.regexp != nil {
		return p.regexp.Match(output)
	}
	return bytes.Contains(output, []byte(p.text))
}

// String returns the pattern as it was written; a plain string is quoted.
func (p Pattern) String() string {
	if p.regexp != nil {
		return p.text
	}
	return fmt.Sprintf("%q", p.text)
}
