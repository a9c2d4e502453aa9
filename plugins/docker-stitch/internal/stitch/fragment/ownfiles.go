package fragment

import (
	"encoding/csv"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/dockerfile"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// OwnContext is the name by which a fragment's text calls the fragment's own
// directory, as in COPY --from=fragment.
const OwnContext = "fragment"

// plainPath are the directories that can stand in an instruction unquoted.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9._/+@-]+$`)

// quotes drops the characters that the builder may drop from a path.
var quotes = strings.NewReplacer(`"`, "", "'", "", `\`, "", "`", "")

// ownPaths replaces the fragment's own context by the directory's place in the
// build context, so that the rendered text needs no context of that name.
func (b *body) ownPaths(parsed dockerfile.File, e edits) {
	for _, i := range parsed.Instructions {
		var err error
		switch c := i.Command.(type) {
		case *instructions.CopyCommand:
			if c.From == OwnContext {
				err = b.copyOwn(i, c, e)
			}
		case *instructions.RunCommand:
			err = b.mountOwn(i, e)
		case *instructions.OnbuildCommand:
			err = b.triggerOwn(i)
		}
		b.errs.Add(fault.At(b.at(i.Start), err))
	}
}

func (b *body) copyOwn(i dockerfile.Instruction, c *instructions.CopyCommand, e edits) error {
	if len(c.SourceContents) > 0 {
		return errors.New("COPY --from=fragment takes files, not a here-document")
	}
	words := []string{"COPY"}
	for _, f := range i.Node.Flags {
		if f != "--from="+OwnContext {
			words = append(words, f)
		}
	}
	var operands []string
	for n := i.Node.Next; n != nil; n = n.Next {
		operands = append(operands, n.Value)
	}
	for n, source := range operands[:len(operands)-1] {
		own, err := b.own(source, c.Parents)
		if err != nil {
			return err
		}
		operands[n] = own
	}
	if i.Node.Attributes["json"] {
		for n, o := range operands {
			operands[n] = quoteJSON(o)
		}
		e.replace(i, strings.Join(words, " ")+" ["+strings.Join(operands, ", ")+"]")
		return nil
	}
	e.replace(i, strings.Join(append(words, operands...), " "))
	return nil
}

// own returns where a path of the fragment lies in the build context. With
// parents set, only the path inside of the fragment is kept below the
// destination of a COPY --parents.
func (b *body) own(source string, parents bool) (string, error) {
	if !plainPath.MatchString(b.Dir) {
		return "", fmt.Errorf("directory %q cannot stand in an instruction: rename it", b.Dir)
	}
	if slices.Contains(strings.Split(quotes.Replace(source), "/"), "..") {
		return "", fmt.Errorf("path %q leads out of the fragment", source)
	}
	inner := strings.TrimPrefix(path.Clean("/"+source), "/")
	if strings.HasSuffix(source, "/") && inner != "" {
		inner += "/"
	}
	switch {
	case parents:
		return b.Dir + "/./" + inner, nil
	case inner == "":
		return b.Dir, nil
	}
	return b.Dir + "/" + inner, nil
}

func quoteJSON(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// mountOwn rewrites bind mounts from the fragment's own context. The rest of a RUN
// stays as it was written, down to its white space.
func (b *body) mountOwn(i dockerfile.Instruction, e edits) error {
	texts := slices.Clone(b.Source[i.Start-1 : i.End])
	changed := false
	for _, flag := range i.Node.Flags {
		value, ok := strings.CutPrefix(flag, "--mount=")
		if !ok {
			continue
		}
		mount, ours, err := b.mount(value)
		if err != nil {
			return err
		}
		if !ours {
			continue
		}
		if !replaceFirst(texts, flag, "--mount="+mount) {
			return errors.New("write --mount with from=fragment on one line")
		}
		changed = true
	}
	if changed {
		e.replace(i, texts...)
	}
	return nil
}

// triggerOwn refuses the fragment's own files in an ONBUILD: it runs in builds
// whose context is another.
func (b *body) triggerOwn(i dockerfile.Instruction) error {
	trigger, _ := i.Trigger()
	own := false
	switch c := trigger.Command.(type) {
	case *instructions.CopyCommand:
		own = c.From == OwnContext
	case *instructions.RunCommand:
		for _, flag := range trigger.Node.Flags {
			if value, ok := strings.CutPrefix(flag, "--mount="); ok {
				_, ours, err := b.mount(value)
				own = own || ours || err != nil
			}
		}
	}
	if own {
		return errors.New("ONBUILD cannot take the fragment's own files: they are not in the context of a later build")
	}
	return nil
}

func (b *body) mount(value string) (string, bool, error) {
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	if err != nil {
		return "", false, fmt.Errorf("reading mount %q: %w", value, err)
	}
	ours := func(f string) bool { // keys may be in capitals
		key, v, _ := strings.Cut(f, "=")
		return strings.EqualFold(key, "from") && v == OwnContext
	}
	if !slices.ContainsFunc(fields, ours) {
		return "", false, nil
	}
	source := ""
	var kept []string
	for _, f := range fields {
		key, v, _ := strings.Cut(f, "=")
		switch strings.ToLower(key) {
		case "from":
		case "type":
			if v != string(instructions.MountTypeBind) {
				return "", false, fmt.Errorf("mount of type %s takes nothing from the fragment: only bind does", v)
			}
			kept = append(kept, f)
		case "source", "src":
			source = v
		default:
			if strings.ContainsAny(f, `",`) {
				return "", false, fmt.Errorf("mount option %q cannot be kept as it is written", f)
			}
			kept = append(kept, f)
		}
	}
	own, err := b.own(source, false)
	if err != nil {
		return "", false, err
	}
	return strings.Join(append(kept, "source="+own), ","), true, nil
}

func replaceFirst(texts []string, old, replacement string) bool {
	for n, t := range texts {
		if comment := strings.HasPrefix(strings.TrimSpace(t), "#"); !comment && strings.Contains(t, old) {
			texts[n] = strings.Replace(t, old, replacement, 1)
			return true
		}
	}
	return false
}
