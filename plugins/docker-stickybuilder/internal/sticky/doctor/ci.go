package doctor

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

func (d *Diagnosis) ci(o Options) {
	switch {
	case o.Runner != "":
		d.add(CI, "runner", OK, "the builder ends with "+o.Runner, "")
	case o.CI:
		d.add(CI, "runner", Warning, "the runner's process is not known: without down the builder stays", "name it with --watch-pid PID")
	default:
		d.add(CI, "runner", OK, "none: the builder stays until down", "")
	}
	for _, f := range o.Files {
		if err := unix.Access(f.Path, unix.W_OK); err != nil {
			d.add(CI, f.Variable, Warning, fmt.Sprintf("%s cannot be written: %v", f.Path, err), "unset "+f.Variable+", or name the file that the CI system reads")
			continue
		}
		d.add(CI, f.Variable, OK, f.Path, "")
	}
}

// hasLine reports whether a line of text ends with the word.
func hasLine(text, word string) bool {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == word {
			return true
		}
	}
	return false
}
