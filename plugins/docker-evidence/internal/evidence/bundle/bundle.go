// Package bundle reads and writes sigstore bundles, version 0.3, that hold a
// DSSE envelope signed with a key
// (protos/sigstore_bundle.proto in github.com/sigstore/protobuf-specs).
//
// Bundles with certificates are recognised and refused: they prove an identity,
// not the possession of a key. Transparency log entries and timestamps beside a
// key's signature are allowed and not looked at.
package bundle

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/dsse"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
)

// MediaType is the type of a bundle, as a file, an OCI layer and an artifact.
const MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// MaxSize bounds what [Parse] reads: 64 MiB.
const MaxSize = 64 << 20

// A Bundle is one signed statement.
type Bundle struct {
	MediaType string        `json:"mediaType"`
	Material  material      `json:"verificationMaterial"`
	Envelope  dsse.Envelope `json:"dsseEnvelope"`
}

type material struct {
	PublicKey publicKey `json:"publicKey"`
}

type publicKey struct {
	Hint string `json:"hint,omitempty"`
}

// Sign wraps payload, of the given media type, in a bundle signed by k. The same
// payload and key give the same bytes.
func Sign(k *key.Private, payloadType string, payload []byte) ([]byte, error) {
	envelope, err := dsse.Sign(k, payloadType, payload)
	if err != nil {
		return nil, err
	}
	return json.Marshal(Bundle{MediaType, material{publicKey{k.Public().Hint()}}, envelope})
}

// ErrKey is what a bundle gives that names another key than the one asked.
var ErrKey = errors.New("it was signed with another key")

// Verify returns the payload and its media type if k has signed it.
func (b Bundle) Verify(k *key.Public) (payloadType string, payload []byte, err error) {
	if b.Material.PublicKey.Hint != "" && b.Material.PublicKey.Hint != k.Hint() {
		return "", nil, ErrKey
	}
	payload, err = b.Envelope.Verify(k)
	if err != nil {
		return "", nil, err
	}
	return b.Envelope.PayloadType, payload, nil
}

// Parse reads a bundle. Like the reference implementation it refuses fields that
// the specification does not know; unlike encoding/json it takes names in their
// exact spelling only, and none twice.
func Parse(data []byte) (Bundle, error) {
	if len(data) > MaxSize {
		return Bundle{}, fmt.Errorf("the bundle is larger than %d bytes", MaxSize)
	}
	if err := checkFields(data); err != nil {
		return Bundle{}, err
	}
	var b Bundle
	if err := json.Unmarshal(data, &b); err != nil {
		return Bundle{}, fmt.Errorf("parsing the bundle: %w", err)
	}
	if b.MediaType != MediaType {
		return Bundle{}, fmt.Errorf("the bundle's media type is %q, not %s", b.MediaType, MediaType)
	}
	return b, nil
}
