package cmd

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/build"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch"
	"github.com/dockerfactory/dockerfactory/shared/render"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// A built is what docker stitch build reports.
type built struct {
	Name       string   `json:"name"`
	ManifestID string   `json:"manifestId"`
	Digest     string   `json:"digest"`
	Tags       []string `json:"tags"`
	Platforms  []string `json:"platforms"`
	Cached     int      `json:"cached"`
	Steps      int      `json:"steps"`
	Seconds    float64  `json:"seconds"`
}

func newBuilt(r *stitch.Rendered, o build.Options, result build.Result) built {
	digest := result.Digest
	if digest == "" {
		digest = result.Config
	}
	return built{
		Name: r.Manifest.Name.Value, ManifestID: r.ID, Digest: digest,
		Tags: append([]string{}, o.Tags...), Platforms: append([]string{}, o.Platforms...),
		Cached: result.Cached, Steps: result.Steps,
		Seconds: math.Round(result.Took.Seconds()*10) / 10,
	}
}

func (b built) print(w io.Writer, f render.Flags) error {
	if f.Quiet && b.Digest == "" {
		return nil // nothing was exported, so nothing has a digest
	}
	return f.Print(w, b.Digest, b, func(w io.Writer) error {
		fmt.Fprintln(w, "MANIFEST\tMANIFEST ID\tDIGEST\tPLATFORM\tCACHED\tSECONDS")
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d/%d\t%.1f\n", b.Name, b.ManifestID, orDash(b.Digest),
			orDash(strings.Join(b.Platforms, ",")), b.Cached, b.Steps, b.Seconds)
		return err
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// metadata is the exporter's response in the form of docker buildx build
// --metadata-file, where values that are JSON stand as such, and the manifest's
// name and id.
func (b built) metadata(response map[string]string) map[string]any {
	m := map[string]any{wire.LabelManifestName: b.Name, wire.LabelManifestID: b.ManifestID}
	for k, v := range response {
		m[k] = v
		if raw, err := base64.StdEncoding.DecodeString(v); err == nil {
			var object map[string]json.RawMessage
			if json.Unmarshal(raw, &object) == nil && len(object) > 0 {
				m[k] = json.RawMessage(raw)
			}
		}
	}
	return m
}
