package assemble

import (
	"regexp"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/dockerfile"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

var (
	openSlot  = regexp.MustCompile(`^\s*#--MODULE:([A-Za-z0-9][A-Za-z0-9._-]*)--#\s*$`)
	restSlot  = regexp.MustCompile(`^\s*#--MODULES--#\s*$`)
	closeSlot = regexp.MustCompile(`^\s*#--ENDMODULE--#\s*$`)
	nearSlot  = regexp.MustCompile(`#\s*--+\s*(END)?MODULES?\b`)
)

// A slot is a pair of markers in a template. What stands between them, comments
// only, gives way to fragments.
type slot struct {
	name        string // "" for the slot that takes all fragments without one of their own
	open, close int    // lines, from 1
}

// slots finds the markers in a template. parsed is nil if the template could not
// be parsed.
func slots(file string, lines []string, parsed *dockerfile.File, errs *fault.List) []slot {
	var found []slot
	var current *slot
	first := map[string]int{}
	at := func(line int) fault.Position { return fault.Position{File: file, Line: line} }
	for n, text := range lines {
		line := n + 1
		m := openSlot.FindStringSubmatch(text)
		opens, closes := m != nil || restSlot.MatchString(text), closeSlot.MatchString(text)
		if (opens || closes) && inside(parsed, line) {
			errs.Addf(at(line), "marker stands inside of an instruction")
			continue
		}
		switch {
		case opens && current != nil:
			errs.Addf(at(line), "marker opens before the one at line %d is closed by #--ENDMODULE--#", current.open)
		case opens:
			current = &slot{open: line}
			if m != nil {
				current.name = m[1]
			}
			if before, twice := first[current.name]; twice {
				errs.Addf(at(line), "marker repeats the one at line %d", before)
			}
			first[current.name] = line
		case closes && current == nil:
			errs.Addf(at(line), "#--ENDMODULE--# closes no marker")
		case closes:
			current.close = line
			found = append(found, *current)
			current = nil
		case strings.HasPrefix(strings.TrimSpace(text), "#") && nearSlot.MatchString(text) && !inside(parsed, line):
			errs.Add(fault.Hint(fault.At(at(line), errMarker), "a marker is a line of its own: #--MODULE:name--#, #--MODULES--# or #--ENDMODULE--#"))
		case current != nil && !blank(text):
			errs.Addf(at(line), "text between markers would be lost")
		}
	}
	if current != nil {
		errs.Addf(at(current.open), "marker is not closed by #--ENDMODULE--#")
	}
	return found
}

// blank reports whether a line is empty or a comment.
func blank(text string) bool {
	t := strings.TrimSpace(text)
	return t == "" || strings.HasPrefix(t, "#")
}

func inside(parsed *dockerfile.File, line int) bool {
	if parsed == nil {
		return false
	}
	for _, i := range parsed.Instructions {
		if i.Start <= line && line <= i.End {
			return true
		}
	}
	return false
}
