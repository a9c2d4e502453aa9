package referrers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// fallbackTag is the referrers tag of subject (distribution specification,
// "Referrers Tag Schema").
func fallbackTag(subject v1.Hash) string {
	return fmt.Sprintf("%.32s-%.64s", subject.Algorithm, subject.Hex)
}

// A tagIndex is the index under a referrers tag. What other clients wrote into it
// is kept as it is, down to fields that are not known here.
type tagIndex struct {
	rest      map[string]json.RawMessage // all but manifests
	manifests []json.RawMessage
	etag      string // of the version that was read
	exists    bool
}

func (r *Repository) readIndex(ctx context.Context, subject v1.Hash) (*tagIndex, error) {
	body, etag, err := r.getManifest(ctx, fallbackTag(subject), types.OCIImageIndex)
	if errors.Is(err, errNotFound) {
		return &tagIndex{}, nil
	}
	if err != nil {
		return nil, err
	}
	index := &tagIndex{etag: etag, exists: true}
	if err := index.parse(body); err != nil {
		return nil, fault.Hint(fmt.Errorf("reading tag %s: %w", fallbackTag(subject), err), "the tag is kept for the list of referrers: remove it, or attach to another repository")
	}
	return index, nil
}

func (t *tagIndex) parse(body []byte) error {
	if err := json.Unmarshal(body, &t.rest); err != nil {
		return err
	}
	var kind string
	if err := json.Unmarshal(t.rest["mediaType"], &kind); err != nil || kind != string(types.OCIImageIndex) {
		return errors.New("it is not an OCI index")
	}
	if m, ok := t.rest["manifests"]; ok {
		if err := json.Unmarshal(m, &t.manifests); err != nil {
			return err
		}
		delete(t.rest, "manifests")
	}
	return nil
}

func (t *tagIndex) descriptors() ([]v1.Descriptor, error) {
	out := make([]v1.Descriptor, len(t.manifests))
	for i, m := range t.manifests {
		if err := json.Unmarshal(m, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// missing returns those of want that the index does not list.
func (t *tagIndex) missing(want []v1.Descriptor) ([]v1.Descriptor, error) {
	have, err := t.descriptors()
	if err != nil {
		return nil, err
	}
	return subtract(want, have), nil
}

func subtract(want, have []v1.Descriptor) []v1.Descriptor {
	listed := map[v1.Hash]bool{}
	for _, d := range have {
		listed[d.Digest] = true
	}
	var out []v1.Descriptor
	for _, d := range want {
		if !listed[d.Digest] {
			out = append(out, d)
		}
	}
	return out
}

// drop removes the entries for gone.
func (t *tagIndex) drop(gone map[v1.Hash]bool) error {
	have, err := t.descriptors()
	if err != nil {
		return err
	}
	kept := t.manifests[:0:0]
	for i, d := range have {
		if !gone[d.Digest] {
			kept = append(kept, t.manifests[i])
		}
	}
	t.manifests = kept
	return nil
}

// with returns the bytes of the index with more entries at its end.
func (t *tagIndex) with(more []v1.Descriptor) ([]byte, error) {
	manifests := append([]json.RawMessage(nil), t.manifests...)
	for _, d := range more {
		raw, err := intoto.Marshal(d)
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, raw)
	}
	list, err := intoto.Marshal(manifests)
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{
		"schemaVersion": json.RawMessage("2"),
		"mediaType":     json.RawMessage(`"` + string(types.OCIImageIndex) + `"`),
	}
	for k, v := range t.rest {
		fields[k] = v
	}
	fields["manifests"] = list
	return compact(fields)
}

func compact(fields map[string]json.RawMessage) ([]byte, error) {
	raw, err := intoto.Marshal(fields)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = json.Compact(&b, raw)
	return b.Bytes(), err
}
