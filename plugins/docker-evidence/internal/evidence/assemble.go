package evidence

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/bundle"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/record"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/referrers"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/sbom"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// Annotations that cosign puts on its bundles, and looks for.
const (
	annotationBundleContent   = "dev.sigstore.bundle.content"
	annotationBundlePredicate = "dev.sigstore.bundle.predicateType"
	annotationCreated         = "org.opencontainers.image.created"
	annotationTitle           = "org.opencontainers.image.title"
)

// maxInlineSBOM is how large an SBOM may be to be signed whole. Verifiers read a
// statement into memory; a larger document is attached as a blob, which the
// signed record names by digest.
const maxInlineSBOM = 8 << 20

// A set is everything that belongs to one record.
type set struct {
	files     []record.File
	artifacts []referrers.Artifact
	types     []string // of the artifacts, for people
}

// assemble makes the files and artifacts; the record's own artifact is the last.
func assemble(r record.Record, tests smoke.Result, doc *sbom.Document, opts Options) (set, error) {
	s := set{}
	var pack []referrers.Blob
	for i, report := range tests.Reports {
		s.files = append(s.files, record.File{Suffix: "." + report.Suite.Name + ".log", Data: report.Log})
		pack = append(pack, blobOf(r.Suites[i].Log, report.Log))
	}
	inline := doc != nil && len(doc.JSON) <= maxInlineSBOM
	if doc != nil {
		s.files = append(s.files, record.File{Suffix: ".spdx.json", Data: doc.JSON})
		if !inline {
			pack = append(pack, blobOf(r.SBOM.Descriptor, doc.JSON))
		}
	}
	if opts.Key == nil {
		return s, nil
	}
	annotations := map[string]string{
		annotationCreated:               r.Finished.Format(time.RFC3339),
		wire.AnnotationEvidenceStatus:   string(r.Status),
		wire.AnnotationEvidencePlatform: r.Platform,
	}
	if r.Manifest != nil {
		annotations[wire.AnnotationEvidenceManifest] = r.Manifest.ID
	}
	s.add(referrers.Artifact{Type: wire.ArtifactEvidencePack, Blobs: unique(pack), Annotations: annotations}, wire.ArtifactEvidencePack)

	if inline {
		if err := s.sign(opts, wire.PredicateSPDX, ".spdx.sigstore.json", json.RawMessage(doc.JSON), annotations); err != nil {
			return set{}, err
		}
	}
	if err := s.sign(opts, wire.PredicateTestResult, ".test-result.sigstore.json", testResult(r, tests), annotations); err != nil {
		return set{}, err
	}
	return s, s.sign(opts, wire.PredicateCompatibility, ".compatibility.sigstore.json", r, annotations)
}

func (s *set) add(a referrers.Artifact, kind string) {
	s.artifacts = append(s.artifacts, a)
	s.types = append(s.types, kind)
}

// sign states predicate about the platform's manifest. Neither the index nor its
// other platforms are subjects: they were not tested.
func (s *set) sign(opts Options, predicateType, suffix string, predicate any, annotations map[string]string) error {
	subject := intoto.Descriptor{Name: imageName(opts), Digest: intoto.Digests(opts.Platform.Descriptor.Digest.String())}
	statement, err := intoto.New(subject, predicateType, predicate)
	if err != nil {
		return err
	}
	signed, err := bundle.Sign(opts.Key, intoto.PayloadType, statement)
	if err != nil {
		return fmt.Errorf("signing statement %s: %w", predicateType, err)
	}
	all := map[string]string{annotationBundleContent: "dsse-envelope", annotationBundlePredicate: predicateType}
	for k, v := range annotations {
		all[k] = v
	}
	s.files = append(s.files, record.File{Suffix: suffix, Data: signed})
	s.add(referrers.Artifact{
		Type: bundle.MediaType, Annotations: all,
		Blobs: []referrers.Blob{{MediaType: bundle.MediaType, Data: signed}},
	}, predicateType)
	return nil
}

func blobOf(d intoto.Descriptor, data []byte) referrers.Blob {
	return referrers.Blob{MediaType: d.MediaType, Data: data, Annotations: map[string]string{annotationTitle: d.Name}}
}

// unique drops blobs with the bytes of an earlier one: a manifest that lists a
// blob twice is refused by some registries.
func unique(blobs []referrers.Blob) []referrers.Blob {
	var out []referrers.Blob
	seen := map[string]bool{}
	for _, b := range blobs {
		d := b.Descriptor().Digest.String()
		if !seen[d] {
			out = append(out, b)
		}
		seen[d] = true
	}
	return out
}

func sha256Of(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }
