// Package identity computes manifest ids: the digest of all that an image is
// declared to be made from. docs/design/003-manifest-id.md describes the form.
package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/fragment"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
)

// Format names the canonical form and the way of rendering. It changes whenever
// equal inputs would give another Dockerfile.
const Format = "dev.dockerfactory.manifest/v1"

// Inputs are what an id covers.
type Inputs struct {
	Manifest  manifest.Manifest
	Template  []string // lines of the template
	Fragments []fragment.Fragment
	Files     []files.Entry // what the Dockerfile takes from the build context
}

// Canonical returns the canonical form of the inputs: JSON without white space,
// the keys of each object in the order of their bytes.
func (in Inputs) Canonical() ([]byte, error) {
	fragments := []any{}
	for _, f := range in.Fragments {
		fragments = append(fragments, map[string]any{
			"dir":      f.Dir,
			"metadata": metadata(f.Metadata),
			"sha256":   sum(f.Source),
		})
	}
	entries := []any{}
	for _, e := range in.Files {
		entry := map[string]any{"path": e.Path, "type": e.Type, "mode": e.Mode}
		switch e.Type {
		case "file":
			entry["sha256"] = e.SHA256
		case "link":
			entry["target"] = e.Target
		}
		entries = append(entries, entry)
	}
	return encode(map[string]any{
		"format":    Format,
		"manifest":  declared(in.Manifest),
		"template":  map[string]any{"sha256": sum(in.Template)},
		"fragments": fragments,
		"files":     entries,
	})
}

// ID returns the manifest id, "sha256:" and 64 hexadecimal digits.
func (in Inputs) ID() (string, error) {
	canonical, err := in.Canonical()
	if err != nil {
		return "", fmt.Errorf("writing the canonical form: %w", err)
	}
	digest := sha256.Sum256(canonical)
	return "sha256:" + hex.EncodeToString(digest[:]), nil
}

func declared(m manifest.Manifest) map[string]any {
	uses := []any{}
	for _, f := range m.Fragments {
		params := map[string]any{}
		for _, p := range f.Params {
			params[p.Name.Value] = p.Value.Value
		}
		use := map[string]any{"name": f.Name.Value, "version": f.Version.Value, "params": params}
		if f.Order != nil {
			use["order"] = *f.Order
		}
		uses = append(uses, use)
	}
	return map[string]any{
		"name":      m.Name.Value,
		"base":      m.Base.Value,
		"template":  m.Template.Value,
		"fragments": uses,
		"platforms": values(m.Platforms),
		"tags":      values(m.Tags),
		"output":    m.Output.Value,
	}
}

func metadata(m fragment.Metadata) map[string]any {
	params := map[string]any{}
	for _, p := range m.Params {
		params[p.Name] = map[string]any{
			"type": p.Type, "values": list(p.Values), "pattern": p.Pattern, "description": p.Description,
		}
	}
	return map[string]any{
		"name": m.Name, "version": m.Version, "order": m.Order,
		"description": m.Description, "stages": m.Stages, "params": params,
	}
}

func values(texts []manifest.Text) []string {
	out := []string{}
	for _, t := range texts {
		out = append(out, t.Value)
	}
	return out
}

func list(s []string) []string { return append([]string{}, s...) }

// sum is the digest of lines, each ended by one line feed.
func sum(lines []string) string {
	h := sha256.New()
	for _, l := range lines {
		h.Write([]byte(l + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}
