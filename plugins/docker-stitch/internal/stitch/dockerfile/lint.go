package dockerfile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Warning is what one of BuildKit's rules says about a line.
type Warning struct {
	Line    int
	Rule    string
	Message string
	URL     string
}

// Lint runs all of BuildKit's rules, those that "docker build --check" runs, over
// a whole Dockerfile. Base images are not looked at: of what they define, nothing
// is known. The error, if any, is a *LineError: the text cannot be built.
func Lint(ctx context.Context, text []byte) ([]Warning, error) {
	results, err := dockerfile2llb.DockerfileLint(ctx, text, dockerfile2llb.ConvertOpt{
		MetaResolver: offline{},
		// The linter reads the definition of the source map, if only to copy it.
		SourceMap: &llb.SourceMap{Filename: "Dockerfile", Data: text, Definition: &llb.Definition{}},
	})
	if err != nil {
		return nil, &LineError{Err: err}
	}
	var warnings []Warning
	for _, w := range results.Warnings {
		warnings = append(warnings, Warning{Line: firstLine(w.Location), Rule: w.RuleName, Message: w.Detail, URL: w.URL})
	}
	slices.SortStableFunc(warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	if e := results.Error; e != nil {
		message := strings.TrimPrefix(e.Message, "dockerfile parse error: ")
		return warnings, &LineError{Line: firstLine(&e.Location), Err: errors.New(message)}
	}
	return warnings, nil
}

func firstLine(l *pb.Location) int {
	first := 0
	for _, r := range l.GetRanges() {
		if n := int(r.GetStart().GetLine()); first == 0 || (n > 0 && n < first) {
			first = n
		}
	}
	return first
}

// offline answers for every image with an empty configuration.
type offline struct{}

func (offline) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", "", nil, fmt.Errorf("image reference %q: %w", ref, err)
	}
	p := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		p = *opt.ImageOpt.Platform
	}
	config, err := json.Marshal(ocispecs.Image{Platform: p})
	if err != nil {
		return "", "", nil, err
	}
	return reference.TagNameOnly(named).String(), digest.FromBytes(config), config, nil
}
