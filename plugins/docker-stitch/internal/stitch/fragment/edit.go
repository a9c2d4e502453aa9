package fragment

import (
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/dockerfile"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/sourcemap"
)

// edits maps the first line of an instruction to what replaces the instruction.
type edits map[int]edit

type edit struct {
	end   int // last line of the instruction
	texts []string
}

func (e edits) replace(i dockerfile.Instruction, texts ...string) {
	e[i.Start] = edit{i.End, texts}
}

// apply returns lines with the edits made. Line n of a replacement stands for line
// n of what it replaces, as far as there is one.
func (e edits) apply(lines []sourcemap.Line) []sourcemap.Line {
	var out []sourcemap.Line
	for n := 1; n <= len(lines); n++ {
		change, ok := e[n]
		if !ok {
			out = append(out, lines[n-1])
			continue
		}
		for i, t := range change.texts {
			l := lines[min(n+i, change.end)-1]
			l.Text = t
			out = append(out, l)
		}
		n = change.end
	}
	return out
}
