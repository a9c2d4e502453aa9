// Package text turns the bytes of a template or fragment into lines that are
// safe to put into a Dockerfile, whatever editor and system wrote them.
package text

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// MaxSize bounds a source file, in bytes.
const MaxSize = 4 << 20

// MaxLine bounds a line, in bytes: BuildKit's parser takes none that is longer.
const MaxLine = 65535

// Lines normalises data, the content of file, and splits it into lines without
// their ends. A byte order mark is dropped, CRLF becomes LF, and a missing final
// newline is of no account.
//
// It reports, each at its position, NUL and other control characters, bytes that
// are no UTF-8, and lines longer than [MaxLine].
func Lines(file string, data []byte) ([]string, error) {
	if len(data) > MaxSize {
		return nil, fault.At(fault.Position{File: file}, fmt.Errorf("file is larger than %d MiB", MaxSize>>20))
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	body := strings.TrimSuffix(string(data), "\n")
	if body == "" {
		return nil, nil
	}
	lines := strings.Split(body, "\n")
	var errs fault.List
	for i, line := range lines {
		if column, err := check(line); err != nil {
			errs.Add(fault.At(fault.Position{File: file, Line: i + 1, Column: column}, err))
		}
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return lines, nil
}

// check returns the first mistake in a line and its column, counted in bytes.
func check(line string) (int, error) {
	if len(line) > MaxLine {
		return MaxLine + 1, fmt.Errorf("line is longer than %d bytes", MaxLine)
	}
	for i, r := range line {
		switch {
		case r == utf8.RuneError && invalid(line[i:]):
			return i + 1, errors.New("byte is not valid UTF-8")
		case IsControl(r) && r != '\t':
			return i + 1, fmt.Errorf("control character U+%04X", r)
		}
	}
	return 0, nil
}

func invalid(s string) bool {
	_, size := utf8.DecodeRuneInString(s)
	return size == 1
}

// IsControl reports whether r is a control character or one of the invisible
// characters that make text read differently from what it says: the separators
// U+2028 and U+2029 and the bidirectional overrides.
func IsControl(r rune) bool {
	return r < 0x20 || (r >= 0x7f && r < 0xa0) ||
		(r >= 0x2028 && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069)
}
