package fragment

import (
	"fmt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/dockerfile"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// setParams gives the fragment's ARG instructions the values of the manifest.
func (b *body) setParams(parsed dockerfile.File, e edits) {
	declared := map[string]*Parameter{}
	var names []string
	for _, p := range b.Metadata.Params {
		declared[p.Name] = p
		names = append(names, p.Name)
	}
	given := map[string]string{}
	for _, p := range b.Use.Params {
		param, ok := declared[p.Name.Value]
		if !ok {
			b.errs.Add(b.unknownParam(p.Name.At, p.Name.Value, names))
			continue
		}
		given[param.Name] = p.Value.Value
		b.errs.Add(fault.At(p.Value.At, param.Check(p.Value.Value)))
	}
	for _, p := range b.Metadata.Params {
		value, ok := given[p.Name]
		b.setParam(p, value, ok, parsed.Args(p.Name, false), e)
	}
}

func (b *body) unknownParam(at fault.Position, name string, names []string) error {
	err := fmt.Errorf("fragment %q has no parameter %q", b.Use.Name.Value, name)
	if near := fault.Nearest(name, names); near != "" {
		err = fmt.Errorf("%w; did you mean %q?", err, near)
	}
	return fault.At(at, err)
}

func (b *body) setParam(p *Parameter, value string, given bool, args []dockerfile.Arg, e edits) {
	if len(args) == 0 {
		b.errs.Addf(p.at, "parameter %q has no \"ARG %s\" in %s", p.Name, p.Name, TextFile)
		return
	}
	for _, a := range args {
		pos := b.at(a.Instruction.Start)
		switch {
		case !a.Alone:
			b.errs.Addf(pos, "parameter %q is declared together with others: give it an ARG of its own", p.Name)
		case given:
			e.replace(a.Instruction, dockerfile.FormatArg(p.Name, value, b.escape))
		case a.Default == nil:
			b.errs.Add(fault.Hint(fault.At(b.Use.Name.At, fmt.Errorf("fragment %q needs a value for %q", b.Use.Name.Value, p.Name)),
				"set it under params, or give the ARG at %s a default", pos))
		default:
			b.errs.Add(fault.At(pos, p.Check(*a.Default)))
		}
	}
}
