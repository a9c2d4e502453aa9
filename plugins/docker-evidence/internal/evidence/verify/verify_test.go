package verify_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/bundle"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/referrers"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/verify"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// shelf is a source in memory. Like a registry client it checks digests, so what
// an attacker changes gets a new digest and a new place in the list.
type shelf struct {
	list  []v1.Descriptor
	blobs map[string][]byte
	down  map[string]bool // hex digests that cannot be read now
}

func hashOf(data []byte) v1.Hash {
	sum := sha256.Sum256(data)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

func (s *shelf) List(context.Context, v1.Hash) ([]v1.Descriptor, error) { return s.list, nil }

func (s *shelf) Manifest(ctx context.Context, d v1.Descriptor) ([]byte, error) { return s.Blob(ctx, d) }

func (s *shelf) Blob(_ context.Context, d v1.Descriptor) ([]byte, error) {
	if s.down[d.Digest.Hex] {
		return nil, errDown
	}
	data, ok := s.blobs[d.Digest.Hex]
	if !ok || int64(len(data)) != d.Size || hashOf(data) != d.Digest {
		return nil, fmt.Errorf("%w: other bytes", referrers.ErrUnusable)
	}
	return data, nil
}

var errDown = errors.New("503 Service Unavailable")

func (s *shelf) attach(t *testing.T, subject v1.Descriptor, a referrers.Artifact) {
	t.Helper()
	raw, d, err := a.Manifest(subject)
	if err != nil {
		t.Fatal(err)
	}
	s.blobs[d.Digest.Hex] = raw
	for _, b := range a.Blobs {
		s.blobs[b.Descriptor().Digest.Hex] = b.Data
	}
	s.list = append(s.list, d)
}

var (
	subject = v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: hashOf([]byte("image")), Size: 5}
	other   = v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: hashOf([]byte("other image")), Size: 11}
	log     = []byte("=== a\n--- exit 0: pass\n")
	sbom    = []byte(`{"spdxVersion":"SPDX-2.3"}`)
)

func newKey(t *testing.T) *key.Private {
	t.Helper()
	pem, _, err := key.Generate()
	if err != nil {
		t.Fatal(err)
	}
	k, err := key.ParsePrivate(pem, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func compatibility(about v1.Descriptor, status record.Status, finished time.Time) record.Record {
	descriptor := func(name string, data []byte) intoto.Descriptor {
		return intoto.Descriptor{Name: name, MediaType: "text/plain", Digest: intoto.Digests(hashOf(data).String()), Annotations: map[string]string{"size": fmt.Sprint(len(data))}}
	}
	tests := []record.Test{{Name: "a", Status: status}}
	return record.Record{
		Schema: wire.PredicateCompatibility, Status: status, Platform: "linux/amd64",
		Image:    record.Image{Name: "app", Manifest: about.Digest.String(), Config: about.Digest.String()},
		Base:     record.Base{Name: "debian", Digest: about.Digest.String(), Source: "flag"},
		Suites:   []record.Suite{{Name: "smoke", Kind: "smoke", Status: status, Counts: record.Count(tests), Tests: tests, Log: descriptor("smoke.log", log)}},
		SBOM:     &record.SBOM{Descriptor: descriptor("sbom.spdx.json", sbom), Format: "SPDX-2.3"},
		Finished: finished.UTC(),
	}
}

func sign(t *testing.T, k *key.Private, about v1.Descriptor, predicateType string, predicate any) []byte {
	t.Helper()
	statement, err := intoto.New(intoto.Descriptor{Digest: intoto.Digests(about.Digest.String())}, predicateType, predicate)
	if err != nil {
		t.Fatal(err)
	}
	data, err := bundle.Sign(k, intoto.PayloadType, statement)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func bundled(data []byte) referrers.Artifact {
	return referrers.Artifact{Type: bundle.MediaType, Blobs: []referrers.Blob{{MediaType: bundle.MediaType, Data: data}}}
}

func pack(data ...[]byte) referrers.Artifact {
	a := referrers.Artifact{Type: wire.ArtifactEvidencePack}
	for _, d := range data {
		a.Blobs = append(a.Blobs, referrers.Blob{MediaType: "text/plain", Data: d})
	}
	return a
}

var noon = time.Unix(1_700_000_000, 0)

// evidence attaches what a run attaches.
func evidence(t *testing.T, k *key.Private, status record.Status, at time.Time) *shelf {
	s := &shelf{blobs: map[string][]byte{}}
	s.attach(t, subject, pack(log))
	s.attach(t, subject, bundled(sign(t, k, subject, wire.PredicateSPDX, json.RawMessage(sbom))))
	s.attach(t, subject, bundled(sign(t, k, subject, wire.PredicateCompatibility, compatibility(subject, status, at))))
	return s
}

func judge(t *testing.T, s *shelf, k *key.Private, opts verify.Options) verify.Report {
	t.Helper()
	opts.Key = k.Public()
	r, err := verify.Verify(t.Context(), s, subject.Digest, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerify(t *testing.T) {
	k, stranger := newKey(t), newKey(t)
	record1 := func(about v1.Descriptor) []byte {
		return sign(t, k, about, wire.PredicateCompatibility, compatibility(about, record.Pass, noon))
	}
	for name, tt := range map[string]struct {
		build  func() *shelf
		opts   verify.Options
		reason string // "" for valid
	}{
		"all there":  {func() *shelf { return evidence(t, k, record.Pass, noon) }, verify.Options{}, ""},
		"with types": {func() *shelf { return evidence(t, k, record.Pass, noon) }, verify.Options{Types: []string{wire.PredicateSPDX}}, ""},
		"a type is missing": {
			func() *shelf { return evidence(t, k, record.Pass, noon) },
			verify.Options{Types: []string{wire.PredicateTestResult}},
			"no valid statement of type " + wire.PredicateTestResult,
		},
		"failed":          {func() *shelf { return evidence(t, k, record.Fail, noon) }, verify.Options{}, "the record says fail, not pass"},
		"failed as asked": {func() *shelf { return evidence(t, k, record.Fail, noon) }, verify.Options{Status: record.Fail}, ""},
		"nothing":         {func() *shelf { return &shelf{} }, verify.Options{}, "no valid compatibility record"},
		"wrong key":       {func() *shelf { return evidence(t, stranger, record.Pass, noon) }, verify.Options{}, "no valid compatibility record"},
		"stranger beside ours": {func() *shelf {
			s := evidence(t, k, record.Fail, noon)
			s.attach(t, subject, bundled(sign(t, stranger, subject, wire.PredicateCompatibility, compatibility(subject, record.Pass, noon.Add(time.Hour)))))
			return s
		}, verify.Options{}, "the record says fail, not pass"},
		"an older pass is replayed": {func() *shelf {
			s := evidence(t, k, record.Fail, noon)
			s.attach(t, subject, bundled(sign(t, k, subject, wire.PredicateCompatibility, compatibility(subject, record.Pass, noon.Add(-time.Hour)))))
			return s
		}, verify.Options{}, "the record says fail, not pass"},
		"a pass of the same second": {func() *shelf {
			s := evidence(t, k, record.Fail, noon)
			s.attach(t, subject, bundled(record1(subject)))
			return s
		}, verify.Options{}, "the record says fail, not pass"},
		"a failure of the same second": {func() *shelf {
			s := evidence(t, k, record.Pass, noon)
			s.attach(t, subject, bundled(sign(t, k, subject, wire.PredicateCompatibility, compatibility(subject, record.Fail, noon))))
			return s
		}, verify.Options{}, "the record says fail, not pass"},
		"a newer failure has lost its log": {func() *shelf {
			s := evidence(t, k, record.Pass, noon)
			failed := compatibility(subject, record.Fail, noon.Add(time.Hour))
			failed.Suites[0].Log.Name, failed.Suites[0].Log.Digest = "lost.log", intoto.Digests(hashOf([]byte("lost")).String())
			s.attach(t, subject, bundled(sign(t, k, subject, wire.PredicateCompatibility, failed)))
			return s
		}, verify.Options{}, "the newest compatibility record is not complete: lost.log is not attached"},
		"another image's bundle": {func() *shelf {
			s := &shelf{blobs: map[string][]byte{}}
			s.attach(t, subject, pack(log, sbom))
			s.attach(t, subject, bundled(record1(other)))
			return s
		}, verify.Options{}, "no valid compatibility record"},
		"another image's manifest": {func() *shelf {
			s := &shelf{blobs: map[string][]byte{}}
			s.attach(t, other, pack(log, sbom))
			s.attach(t, other, bundled(record1(subject)))
			return s
		}, verify.Options{}, "no valid compatibility record"},
		"statement and record disagree": {func() *shelf {
			s := &shelf{blobs: map[string][]byte{}}
			s.attach(t, subject, pack(log, sbom))
			s.attach(t, subject, bundled(sign(t, k, subject, wire.PredicateCompatibility, compatibility(other, record.Pass, noon))))
			return s
		}, verify.Options{}, "no valid compatibility record"},
		"record of another type": {func() *shelf {
			s := &shelf{blobs: map[string][]byte{}}
			s.attach(t, subject, pack(log, sbom))
			s.attach(t, subject, bundled(sign(t, k, subject, wire.PredicateTestResult, compatibility(subject, record.Pass, noon))))
			return s
		}, verify.Options{}, "no valid compatibility record"},
		"no log": {func() *shelf {
			s := &shelf{blobs: map[string][]byte{}}
			s.attach(t, subject, pack(sbom))
			s.attach(t, subject, bundled(record1(subject)))
			return s
		}, verify.Options{}, "the newest compatibility record is not complete: smoke.log is not attached"},
		"truncated log": {func() *shelf {
			s := &shelf{blobs: map[string][]byte{}}
			s.attach(t, subject, pack(log[:len(log)-1], sbom))
			s.attach(t, subject, bundled(record1(subject)))
			return s
		}, verify.Options{}, "the newest compatibility record is not complete: smoke.log is not attached"},
		"SBOM as a blob": {func() *shelf {
			s := &shelf{blobs: map[string][]byte{}}
			s.attach(t, subject, pack(log, sbom))
			s.attach(t, subject, bundled(record1(subject)))
			return s
		}, verify.Options{}, ""},
		"no SBOM": {func() *shelf {
			s := &shelf{blobs: map[string][]byte{}}
			s.attach(t, subject, pack(log))
			s.attach(t, subject, bundled(record1(subject)))
			return s
		}, verify.Options{}, "the newest compatibility record is not complete: sbom.spdx.json is not attached"},
		"another SBOM, well signed": {func() *shelf {
			s := &shelf{blobs: map[string][]byte{}}
			s.attach(t, subject, pack(log))
			s.attach(t, subject, bundled(sign(t, k, subject, wire.PredicateSPDX, json.RawMessage(`{}`))))
			s.attach(t, subject, bundled(record1(subject)))
			return s
		}, verify.Options{}, "the newest compatibility record is not complete: sbom.spdx.json is not attached"},
		"annotations lie": {func() *shelf {
			s := evidence(t, k, record.Fail, noon)
			for i := range s.list {
				s.list[i].Annotations = map[string]string{wire.AnnotationEvidenceStatus: "pass"}
			}
			a := bundled(sign(t, k, subject, wire.PredicateCompatibility, compatibility(subject, record.Fail, noon.Add(time.Hour))))
			a.Annotations = map[string]string{wire.AnnotationEvidenceStatus: "pass"}
			s.attach(t, subject, a)
			return s
		}, verify.Options{}, "the record says fail, not pass"},
		"junk beside it": {func() *shelf {
			s := evidence(t, k, record.Pass, noon)
			s.attach(t, subject, bundled([]byte("junk")))
			s.attach(t, subject, referrers.Artifact{Type: "x/y", Blobs: []referrers.Blob{{MediaType: "x/y", Data: []byte("z")}}})
			return s
		}, verify.Options{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := judge(t, tt.build(), k, tt.opts)
			if got := strings.Join(r.Reasons, "; "); got != tt.reason {
				t.Errorf("reasons %q, want %q; %+v", got, tt.reason, r.Entries)
			}
			if r.Valid != (tt.reason == "") || (r.Err() == nil) != r.Valid {
				t.Errorf("valid = %t, err = %v", r.Valid, r.Err())
			}
		})
	}
}

// Whatever byte of whatever blob an attacker changes, with all digests along the
// way made to fit, the answer is no.
func TestEveryChangedByteIsNoticed(t *testing.T) {
	k := newKey(t)
	signed := sign(t, k, subject, wire.PredicateCompatibility, compatibility(subject, record.Pass, noon))
	step := 1
	if testing.Short() {
		step = 29
	}
	try := func(what string, i int, bundleData, logData, sbomData []byte) {
		s := &shelf{blobs: map[string][]byte{}}
		s.attach(t, subject, pack(logData, sbomData))
		s.attach(t, subject, bundled(bundleData))
		if r := judge(t, s, k, verify.Options{}); r.Valid {
			t.Errorf("%s, byte %d: accepted", what, i)
		}
	}
	flip := func(data []byte, i int) []byte {
		out := bytes.Clone(data)
		out[i] ^= 1 << (i % 8)
		return out
	}
	for i := 0; i < len(signed); i += step {
		try("bundle", i, flip(signed, i), log, sbom)
	}
	for i := range log {
		try("log", i, signed, flip(log, i), sbom)
	}
	for i := range sbom {
		try("SBOM", i, signed, log, flip(sbom, i))
	}
}

// What cannot be read now may be a newer failure.
func TestVerifyNeedsToReadEverything(t *testing.T) {
	k := newKey(t)
	s := evidence(t, k, record.Pass, noon)
	failed := bundled(sign(t, k, subject, wire.PredicateCompatibility, compatibility(subject, record.Fail, noon.Add(time.Hour))))
	s.attach(t, subject, failed)
	for what, digest := range map[string]string{
		"manifest": s.list[len(s.list)-1].Digest.Hex, "bundle": failed.Blobs[0].Descriptor().Digest.Hex, "log": hashOf(log).Hex,
	} {
		s.down = map[string]bool{digest: true}
		if r, err := verify.Verify(t.Context(), s, subject.Digest, verify.Options{Key: k.Public()}); !errors.Is(err, errDown) {
			t.Errorf("%s: error is %v, report is %+v", what, err, r)
		}
	}
}

func TestVerifyFiles(t *testing.T) {
	k := newKey(t)
	files := map[string][]byte{"a.sigstore.json": sign(t, k, subject, wire.PredicateCompatibility, compatibility(subject, record.Pass, noon))}
	if r := verify.VerifyFiles(files, subject.Digest, verify.Options{Key: k.Public()}); !r.Valid {
		t.Errorf("reasons %q", r.Reasons)
	}
	if r := verify.VerifyFiles(files, other.Digest, verify.Options{Key: k.Public()}); r.Valid {
		t.Error("valid for another image")
	}
	if r := verify.VerifyFiles(files, subject.Digest, verify.Options{Key: newKey(t).Public()}); r.Valid || r.Entries[0].Trusted {
		t.Error("valid with another key")
	}
}
