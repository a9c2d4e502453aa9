// Package record is the compatibility record: what was tested, on what, with
// which answer. It is written as a file of its own, and as the predicate
// https://dockerfactory.dev/attestation/compatibility/v1 of a signed statement.
//
// The form is fixed by schema.json, see [Schema]. A record holds no path, no
// user name and no credential. Encoding is deterministic: equal records have
// equal bytes.
package record

import (
	"bytes"
	_ "embed" // for the schema
	"encoding/json"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
)

// Schema is the JSON Schema (draft 2020-12) of a record.
//
//go:embed schema.json
var Schema []byte

// A Record is what one run found out about one image.
type Record struct {
	// Schema is wire.PredicateCompatibility.
	Schema   string    `json:"schema"`
	Status   Status    `json:"status"`
	Manifest *Manifest `json:"manifest,omitempty"`
	Image    Image     `json:"image"`
	Platform string    `json:"platform"` // "linux/arm64/v8"
	Base     Base      `json:"base"`
	Host     Host      `json:"host"`
	Suites   []Suite   `json:"suites"`
	SBOM     *SBOM     `json:"sbom,omitempty"`
	Notes    string    `json:"notes,omitempty"`
	Started  time.Time `json:"started"` // UTC, whole seconds
	Finished time.Time `json:"finished"`
}

// A Manifest is the declaration that the image was built from.
type Manifest struct {
	ID   string `json:"id"` // "sha256:<hex>"
	Name string `json:"name,omitempty"`
}

// An Image is the subject. All digests are "sha256:<hex>".
type Image struct {
	Name     string   `json:"name"`            // repository, such as "ghcr.io/org/app"
	Index    string   `json:"index,omitempty"` // the index that the manifest was chosen from
	Manifest string   `json:"manifest"`
	Config   string   `json:"config"`
	DiffIDs  []string `json:"diffIDs"`
	// Tree is the canonical digest of the merged file system, which layers that
	// are cut or compressed anew do not change.
	Tree string `json:"tree,omitempty"`
}

// A Base is the image that the tested one was built on.
type Base struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	// Source tells who says so: "flag", "annotation" or "provenance".
	Source string `json:"source"`
}

// A Host is what the tests ran on. What is not known is left out.
type Host struct {
	OS      string `json:"os,omitempty"`
	Arch    string `json:"arch,omitempty"`
	Kernel  string `json:"kernel,omitempty"`
	Runner  string `json:"runner,omitempty"`        // "docker" or "buildkit"
	Version string `json:"runnerVersion,omitempty"` // of the engine or of BuildKit
}

// A Suite is one suite with its answers.
type Suite struct {
	Name   string            `json:"name"`
	Kind   string            `json:"kind"` // "smoke"
	Digest string            `json:"digest"`
	Status Status            `json:"status"`
	Counts Counts            `json:"counts"`
	Millis int64             `json:"durationMs"`
	Tests  []Test            `json:"tests"`
	Log    intoto.Descriptor `json:"log"`
}

// Counts sum up the tests of a suite.
type Counts struct {
	Total int `json:"total"`
	Pass  int `json:"pass"`
	Fail  int `json:"fail"`
	Error int `json:"error"`
}

// A Test is one command of a suite.
type Test struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"`
	Millis int64  `json:"durationMs"`
}

// An SBOM is the list of what the image contains.
type SBOM struct {
	intoto.Descriptor
	Format   string `json:"format"` // "SPDX-2.3"
	Packages int    `json:"packages"`
}

// Count sums up tests.
func Count(tests []Test) Counts {
	c := Counts{Total: len(tests)}
	for _, t := range tests {
		switch t.Status {
		case Pass:
			c.Pass++
		case Fail:
			c.Fail++
		default:
			c.Error++
		}
	}
	return c
}

// Outweighs reports whether r decides where other is there too: it is newer, or
// as new, to the second, and its answer is worse.
func (r Record) Outweighs(other Record) bool {
	if !r.Finished.Equal(other.Finished) {
		return r.Finished.After(other.Finished)
	}
	return r.Status != other.Status && Overall(r.Status, other.Status) == r.Status
}

// Encode returns the record as a file: indented JSON that ends in a newline.
func (r Record) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
