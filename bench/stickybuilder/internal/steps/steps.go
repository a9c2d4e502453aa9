// Package steps reads what a build tells about its steps.
package steps

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// Tally is how many steps of a Dockerfile, its FROM lines aside, were taken, and how
// many of them from the cache.
type Tally struct {
	Cached int    `json:"cached"`
	Total  int    `json:"total"`
	Output string `json:"-"` // of the steps
}

// none are vertices that stand in no Dockerfile, and base images, which are looked up
// in any case.
var none = regexp.MustCompile(`^\[(internal|auth)\]|^\[[^]]* internal\]|^\[[^]]*\] FROM `)

// Read reads the output of "--progress rawjson": one JSON object in a line, see
// client.SolveStatus. Other lines are passed over.
func Read(r io.Reader) (Tally, error) {
	var out strings.Builder
	cached := map[digest.Digest]bool{}
	text, err := io.ReadAll(r)
	if err != nil {
		return Tally{}, fmt.Errorf("reading a build's progress: %w", err)
	}
	for line := range bytes.Lines(text) {
		var s client.SolveStatus
		if !bytes.HasPrefix(line, []byte("{")) {
			continue
		}
		if err := json.Unmarshal(line, &s); err != nil {
			return Tally{}, fmt.Errorf("reading a build's progress: %w", err)
		}
		for _, v := range s.Vertexes {
			if strings.HasPrefix(v.Name, "[") && !none.MatchString(v.Name) && (v.Completed != nil || v.Cached) {
				cached[v.Digest] = cached[v.Digest] || v.Cached
			}
		}
		for _, l := range s.Logs {
			out.Write(l.Data)
		}
	}
	t := Tally{Total: len(cached), Output: out.String()}
	for _, hit := range cached {
		if hit {
			t.Cached++
		}
	}
	return t, nil
}
