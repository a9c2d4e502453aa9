package dockerfile

import (
	"path"
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
}

// ContextSources returns what the instruction takes from the build context: the
// sources of COPY and ADD, and the bind mounts of RUN.
func ContextSources(i Instruction) []Source {
	switch c := i.Command.(type) {
	case *instructions.CopyCommand:
		if c.From == "" {
			return sources(c.SourcePaths)
		}
	case *instructions.AddCommand:
		return sources(c.SourcePaths)
	case *instructions.RunCommand:
		return mounted(c)
	}
	return nil
}

func mounted(c *instructions.RunCommand) []Source {
	// Mounts are parsed when variables are expanded.
	if err := c.Expand(func(word string) (string, error) { return word, nil }); err != nil {
		return []Source{{Path: "."}}
	}
	var out []Source
	for _, m := range instructions.GetMounts(c) {
		if m.Type == instructions.MountTypeBind && m.From == "" {
			out = append(out, source(m.Source))
		}
	}
	return out
}

func sources(paths []string) []Source {
	var out []Source
	for _, p := range paths {
		if !isRemote(p) {
			out = append(out, source(p))
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
// variable: everything below what is left may be meant.
func source(p string) Source {
	elements := strings.Split(strings.Trim(p, `"'`), "/")
	for n, e := range elements {
		if strings.ContainsAny(e, "*?[$\\\"'`") {
			return Source{Path: rooted(strings.Join(elements[:n], "/"))}
		}
	}
	return Source{Path: rooted(strings.Join(elements, "/")), Exact: true}
}

// rooted makes p relative to the context, out of which no ".." leads.
func rooted(p string) string {
	if p = strings.TrimPrefix(path.Clean("/"+p), "/"); p == "" {
		return "."
	}
	return p
}
