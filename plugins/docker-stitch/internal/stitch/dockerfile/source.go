package dockerfile

import (
	"path"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// A Source is what an instruction takes from the build context.
type Source struct {
	Path string // relative to the context
	// Exact is false if Path is only where the sources lie: they are named by a
	// pattern or by a variable.
	Exact bool
	// Parents is set if the directories that Path lies in are copied too.
	Parents bool
}

// ContextSources returns what one of the file's instructions takes from the build
// context: the sources of COPY and ADD, the bind mounts of RUN, and those of an
// ONBUILD that a later stage may trigger.
func (f File) ContextSources(i Instruction) []Source {
	switch c := i.Command.(type) {
	case *instructions.CopyCommand:
		if c.From == "" {
			return f.sources(c.SourcePaths, c.Parents)
		}
	case *instructions.AddCommand:
		return f.sources(c.SourcePaths, false)
	case *instructions.RunCommand:
		return f.mounted(c)
	case *instructions.OnbuildCommand:
		return f.triggered(i)
	}
	return nil
}

func (f File) mounted(c *instructions.RunCommand) []Source {
	// Mounts are parsed when variables are expanded.
	if err := c.Expand(func(word string) (string, error) { return word, nil }); err != nil {
		return []Source{{Path: "."}}
	}
	var out []Source
	for _, m := range instructions.GetMounts(c) {
		if m.Type == instructions.MountTypeBind && m.From == "" {
			out = append(out, f.source(m.Source))
		}
	}
	return out
}

// triggered returns the sources of an ONBUILD's instruction. It runs in this build
// only if a stage follows; otherwise the sources are those of another project.
func (f File) triggered(i Instruction) []Source {
	last := f.Instructions[len(f.Instructions)-1]
	for _, other := range f.Instructions {
		if other.Keyword == "FROM" {
			last = other
		}
	}
	trigger, ok := i.Trigger()
	if !ok || last.Start < i.Start {
		return nil
	}
	sources := f.ContextSources(trigger)
	for n := range sources {
		sources[n].Exact = false // it may never run
	}
	return sources
}

func (f File) sources(paths []string, parents bool) []Source {
	var out []Source
	for _, p := range paths {
		if !isRemote(p) {
			s := f.source(p)
			s.Parents = parents
			out = append(out, s)
		}
	}
	return out
}

func isRemote(p string) bool {
	if strings.HasPrefix(p, "http://") || strings.HasPrefix(p, "https://") {
		return true
	}
	ref, isGit, _ := dfgitutil.ParseGitRef(p)
	return ref != nil && isGit
}

// source cuts a path before its first element that holds a pattern or a
// variable: everything below what is left may be meant. If ".." may come out of
// the rest, it is everything there is.
func (f File) source(p string) Source {
	p = strings.Trim(p, `"'`)
	const special = "*?[$\\\"'`"
	if !strings.ContainsAny(p, special) {
		return Source{Path: rooted(p), Exact: true}
	}
	if strings.Contains(p, "..") || (strings.Contains(p, "$") && f.dots()) {
		return Source{Path: "."}
	}
	elements := strings.Split(p, "/")
	for n, e := range elements {
		if strings.ContainsAny(e, special) {
			elements = elements[:n]
			break
		}
	}
	return Source{Path: rooted(strings.Join(elements, "/"))}
}

// dotted matches text that can make ".." of a path, alone or beside another dot.
var dotted = regexp.MustCompile(`\.\.|[=\s"']\.|\.(["'\s]|$)`)

// dots reports whether some variable's value may lead a path upwards.
func (f File) dots() bool {
	for _, i := range f.Instructions {
		if (i.Keyword == "ARG" || i.Keyword == "ENV") && dotted.MatchString(i.Node.Original) {
			return true
		}
	}
	return false
}

// rooted makes p relative to the context, out of which no ".." leads.
func rooted(p string) string {
	if p = strings.TrimPrefix(path.Clean("/"+p), "/"); p == "" {
		return "."
	}
	return p
}
