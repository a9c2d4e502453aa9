// Package referrers attaches artifacts to an image in a registry, and finds and
// reads them again, by the rules of the OCI distribution specification 1.1:
// through the referrers API where the registry has it, and through the referrers
// tag where it has not.
//
// The tag is an index that every client reads, changes and writes back; there is
// no lock. [Repository.Attach] therefore keeps the time between reading and
// writing short, looks whether its entries survived, and looks again once every
// other writer that started before is done. See fallback.go.
package referrers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
)

// An Artifact is something to attach.
type Artifact struct {
	Type        string
	Blobs       []Blob
	Annotations map[string]string
}

// A Blob is one layer of an artifact.
type Blob struct {
	MediaType   string
	Data        []byte
	Annotations map[string]string
}

const mediaTypeEmpty = "application/vnd.oci.empty.v1+json"

var emptyConfig = []byte("{}")

// Descriptor points at the blob.
func (b Blob) Descriptor() v1.Descriptor {
	return v1.Descriptor{
		MediaType: types.MediaType(b.MediaType), Digest: hashOf(b.Data), Size: int64(len(b.Data)), Annotations: b.Annotations,
	}
}

// Manifest returns the artifact's manifest, with subject as its subject, and the
// descriptor by which the subject's list of referrers knows it. The same artifact
// and subject give the same bytes.
func (a Artifact) Manifest(subject v1.Descriptor) ([]byte, v1.Descriptor, error) {
	if len(a.Blobs) == 0 {
		return nil, v1.Descriptor{}, fmt.Errorf("artifact %s has no blobs", a.Type)
	}
	m := struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     types.MediaType   `json:"mediaType"`
		ArtifactType  string            `json:"artifactType"`
		Config        v1.Descriptor     `json:"config"`
		Layers        []v1.Descriptor   `json:"layers"`
		Subject       v1.Descriptor     `json:"subject"`
		Annotations   map[string]string `json:"annotations,omitempty"`
	}{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		ArtifactType:  a.Type,
		Config:        Blob{MediaType: mediaTypeEmpty, Data: emptyConfig}.Descriptor(),
		// Only what the specification asks for: the same subject is described
		// alike whether it was reached by a tag or through an index.
		Subject:     v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
		Annotations: a.Annotations,
	}
	for _, b := range a.Blobs {
		m.Layers = append(m.Layers, b.Descriptor())
	}
	raw, err := intoto.Marshal(m)
	if err != nil {
		return nil, v1.Descriptor{}, fmt.Errorf("encoding the manifest of artifact %s: %w", a.Type, err)
	}
	return raw, v1.Descriptor{
		MediaType: m.MediaType, ArtifactType: a.Type, Digest: hashOf(raw), Size: int64(len(raw)), Annotations: a.Annotations,
	}, nil
}

func hashOf(data []byte) v1.Hash {
	sum := sha256.Sum256(data)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}
