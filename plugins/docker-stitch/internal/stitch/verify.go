package stitch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Verdict says whether something is what its manifest renders to now.
type Verdict struct {
	Subject  string `json:"subject"` // file or image, as the user named it
	Kind     string `json:"kind"`    // "dockerfile" or "image"
	Manifest string `json:"manifest"`
	Recorded string `json:"recorded"` // id that the subject says it has; may be ""
	Rendered string `json:"rendered"` // id that the sources give
	Equal    bool   `json:"equal"`
	Reason   string `json:"reason,omitempty"`
	Diff     string `json:"diff,omitempty"`
}

// ErrUnnamed says that a subject does not tell which manifest it was made from.
var ErrUnnamed = errors.New("not rendered by docker stitch: there is no manifest id")

// VerifyFile compares data, the content of the Dockerfile called subject, with
// what its manifest renders to. name is the manifest; "" stands for the one that
// the file's header names.
func (p *Project) VerifyFile(ctx context.Context, subject string, data []byte, name string) (Verdict, error) {
	v := Verdict{Subject: subject, Kind: "dockerfile"}
	recordedName, id, ok := files.ReadHeader(data)
	v.Recorded = id
	if name == "" {
		name = recordedName
	}
	if name == "" {
		return v, fault.Hint(ErrUnnamed, "name the manifest that it should be: --manifest-id NAME")
	}
	r, err := p.rendered(ctx, name, &v)
	if err != nil || r == nil {
		return v, err
	}
	v.Equal = bytes.Equal(data, r.Dockerfile)
	switch {
	case v.Equal:
		return v, nil
	case !ok:
		v.Reason = "it has no manifest id"
	case recordedName != name:
		v.Reason = fmt.Sprintf("it was rendered from manifest %s", recordedName)
	case id != r.ID:
		v.Reason = "it was rendered from other sources"
	default:
		v.Reason = "it was edited after it was rendered"
	}
	v.Diff = string(diff.Diff(subject, data, "rendered from "+name, r.Dockerfile))
	return v, nil
}

// VerifyID compares the manifest name and id recorded in an image with what the
// sources give now.
func (p *Project) VerifyID(ctx context.Context, subject, recordedName, id, name string) (Verdict, error) {
	v := Verdict{Subject: subject, Kind: "image", Recorded: id}
	if name == "" {
		name = recordedName
	}
	if name == "" {
		return v, fault.Hint(ErrUnnamed, "name the manifest that it should be: --manifest-id NAME")
	}
	r, err := p.rendered(ctx, name, &v)
	if err != nil || r == nil {
		return v, err
	}
	switch {
	case id == "":
		v.Reason = "it has no manifest id"
	case recordedName != name:
		v.Reason = fmt.Sprintf("it was built from manifest %s", recordedName)
	case id != r.ID:
		v.Reason = "it was built from other sources"
	default:
		v.Equal = true
	}
	return v, nil
}

// rendered renders the manifest that v is about. A manifest that is gone is drift
// too: then it returns nil.
func (p *Project) rendered(ctx context.Context, name string, v *Verdict) (*Rendered, error) {
	v.Manifest = name
	if !slices.Contains(p.Set.Names(), name) {
		v.Reason = fmt.Sprintf("%s has no such manifest", p.Set.File)
		return nil, nil
	}
	r, err := p.Render(ctx, name)
	if err != nil {
		return nil, err // a list of mistakes, each with its place
	}
	v.Rendered = r.ID
	return r, nil
}
