// Package intoto holds the in-toto attestation framework's statement, version 1,
// and the predicates that are written here
// (github.com/in-toto/attestation: spec/v1, spec/predicates).
package intoto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// StatementType marks a statement of version 1.
	StatementType = "https://in-toto.io/Statement/v1"
	// PayloadType is the media type of a statement in a DSSE envelope.
	PayloadType = "application/vnd.in-toto+json"
)

// A Statement binds a predicate to its subjects.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Descriptor    `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// A Descriptor points at something by digest, the specification's
// ResourceDescriptor.
type Descriptor struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      DigestSet         `json:"digest,omitempty"`
	MediaType   string            `json:"mediaType,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// A DigestSet maps an algorithm, such as "sha256", to a hex digest.
type DigestSet map[string]string

// Digests returns the set for "sha256:<hex>", the form that registries use.
func Digests(digest string) DigestSet {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return DigestSet{algorithm: hex}
}

// New makes a statement about one subject and returns its bytes. The same
// arguments give the same bytes.
func New(subject Descriptor, predicateType string, predicate any) ([]byte, error) {
	raw, err := Marshal(predicate)
	if err != nil {
		return nil, fmt.Errorf("encoding predicate %s: %w", predicateType, err)
	}
	return Marshal(Statement{StatementType, []Descriptor{subject}, predicateType, raw})
}

// Marshal encodes v as compact JSON with <, > and & as they are.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Parse reads a statement from a payload of the given media type. Unknown fields
// are ignored, as the specification asks.
func Parse(payloadType string, payload []byte) (Statement, error) {
	special := strings.HasPrefix(payloadType, "application/vnd.in-toto.") && strings.HasSuffix(payloadType, "+json")
	if payloadType != PayloadType && !special {
		return Statement{}, fmt.Errorf("payload type %q is not in-toto", payloadType)
	}
	var s Statement
	d := json.NewDecoder(bytes.NewReader(payload))
	if err := d.Decode(&s); err != nil {
		return Statement{}, fmt.Errorf("parsing the statement: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Statement{}, errors.New("parsing the statement: something follows it")
	}
	if s.Type != StatementType {
		return Statement{}, fmt.Errorf("statement type %q is not %s", s.Type, StatementType)
	}
	return s, nil
}

// IsAbout reports whether digest, "sha256:<hex>", is a subject of the statement.
// Subjects are matched by digest only, never by name.
func (s Statement) IsAbout(digest string) bool {
	algorithm, hex, _ := strings.Cut(digest, ":")
	if hex == "" {
		return false
	}
	for _, d := range s.Subject {
		if d.Digest[algorithm] == hex {
			return true
		}
	}
	return false
}
