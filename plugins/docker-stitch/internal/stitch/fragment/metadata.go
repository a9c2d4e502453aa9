package fragment

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/text"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// The files of a fragment's directory. A fragment has one of the two metadata
// files: NativeFile, or FactoryFile where it comes from a Factory store.
const (
	TextFile    = "Dockerfile.fragment"
	NativeFile  = "fragment.yaml"
	FactoryFile = "module.json"
)

// DefaultOrder is the order of a fragment that gives none.
const DefaultOrder = 100

// Metadata is what a fragment says of itself.
type Metadata struct {
	Name        string       `json:"name"`
	Version     string       `json:"version"`
	Order       int          `json:"order"`
	Description string       `json:"description"`
	Stages      bool         `json:"stages"` // it has FROM instructions of its own
	Params      []*Parameter `json:"params"`
}

// A Parameter is an ARG of the fragment that a manifest may set.
type Parameter struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"` // "string", "integer" or "boolean"
	Values      []string `json:"values"`
	Pattern     string   `json:"pattern"`
	Description string   `json:"description"`

	at      fault.Position
	pattern *regexp.Regexp
}

var paramTypes = []string{"string", "integer", "boolean"}

// Check returns an error unless value is one that the parameter takes.
func (p *Parameter) Check(value string) error {
	for _, r := range value {
		if r == '\t' || text.IsControl(r) {
			return fmt.Errorf("value of %s has control character U+%04X", p.Name, r)
		}
	}
	switch p.Type {
	case "integer":
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			return fmt.Errorf("value %q of %s is no whole number", value, p.Name)
		}
	case "boolean":
		if value != "true" && value != "false" {
			return fmt.Errorf("value %q of %s is neither true nor false", value, p.Name)
		}
	}
	if len(p.Values) > 0 && !slices.Contains(p.Values, value) {
		return fmt.Errorf("value %q of %s is not one of %q", value, p.Name, p.Values)
	}
	if p.pattern != nil && !p.pattern.MatchString(value) {
		return fmt.Errorf("value %q of %s does not match %s", value, p.Name, p.Pattern)
	}
	return nil
}
