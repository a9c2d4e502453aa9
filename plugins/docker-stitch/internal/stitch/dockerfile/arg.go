package dockerfile

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// An Arg is a declaration "ARG NAME" or "ARG NAME=default".
type Arg struct {
	Instruction Instruction
	Default     *string
	// Alone is set if the instruction declares nothing else, so that it can be
	// replaced.
	Alone bool
}

// Args returns the declarations of name, in the order of the file. With global
// set, only those before the first FROM.
func (f File) Args(name string, global bool) []Arg {
	var args []Arg
	for _, i := range f.Instructions {
		if global && i.Keyword == "FROM" {
			break
		}
		c, ok := i.Command.(*instructions.ArgCommand)
		if !ok {
			continue
		}
		for _, a := range c.Args {
			if a.Key == name {
				args = append(args, Arg{Instruction: i, Default: a.Value, Alone: len(c.Args) == 1})
			}
		}
	}
	return args
}

var bare = regexp.MustCompile(`^[A-Za-z0-9._/:@%+,=-]+$`)

// FormatArg returns the line that declares name with a default that BuildKit
// reads back as exactly value, which holds no control characters.
func FormatArg(name, value, escape string) string {
	if bare.MatchString(value) {
		return fmt.Sprintf("ARG %s=%s", name, value)
	}
	quoted := value
	for _, special := range []string{escape, `"`, `$`} {
		quoted = strings.ReplaceAll(quoted, special, escape+special)
	}
	return fmt.Sprintf(`ARG %s="%s"`, name, quoted)
}
