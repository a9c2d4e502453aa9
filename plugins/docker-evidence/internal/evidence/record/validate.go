package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/dockerfactory/dockerfactory/shared/wire"
)

var digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// IsDigest reports whether s is "sha256:" and 64 lower-case hex digits.
func IsDigest(s string) bool { return digest.MatchString(s) }

// Parse reads a record from a predicate or a file and checks what others rely on:
// the schema's name, the status, and that the status is the one that the suites
// add up to.
func Parse(data []byte) (Record, error) {
	var r Record
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&r); err != nil {
		return Record{}, fmt.Errorf("parsing the record: %w", err)
	}
	return r, r.Validate()
}

// Validate checks what others rely on.
func (r Record) Validate() error {
	if r.Schema != wire.PredicateCompatibility {
		return fmt.Errorf("schema %q is not %s", r.Schema, wire.PredicateCompatibility)
	}
	if !IsDigest(r.Image.Manifest) {
		return fmt.Errorf("image manifest %q is not a digest", r.Image.Manifest)
	}
	if r.Image.Tree != "" && !IsDigest(r.Image.Tree) {
		return fmt.Errorf("image tree %q is not a digest", r.Image.Tree)
	}
	if !IsDigest(r.Base.Digest) || r.Base.Name == "" {
		return fmt.Errorf("the base image is not known by name and digest")
	}
	if r.Manifest != nil && !IsDigest(r.Manifest.ID) {
		return fmt.Errorf("manifest id %q is not a digest", r.Manifest.ID)
	}
	var all []Status
	for _, s := range r.Suites {
		var tests []Status
		for _, t := range s.Tests {
			tests = append(tests, t.Status)
		}
		if got := Overall(tests...); got != s.Status {
			return fmt.Errorf("suite %s says %q, its tests add up to %q", s.Name, s.Status, got)
		}
		if Count(s.Tests) != s.Counts {
			return fmt.Errorf("suite %s counts its tests wrongly", s.Name)
		}
		all = append(all, s.Status)
	}
	if got := Overall(all...); got != r.Status {
		return fmt.Errorf("the record says %q, its suites add up to %q", r.Status, got)
	}
	return nil
}
