// Package wire holds every name that the suite puts into images, manifests,
// attestations and registries. Nothing else spells these strings out, so that
// what one plugin writes is what another one looks for.
package wire

// Image labels, written by docker stitch as the last LABEL of the final stage.
const (
	// LabelManifestID holds the manifest id, "sha256:<64 hex>".
	LabelManifestID = "dev.dockerfactory.manifest.id"
	// LabelManifestName holds the name that the manifest has in its file.
	LabelManifestName = "dev.dockerfactory.manifest.name"
)

// LabelEvidenceSubject marks a container that docker evidence runs tests in. Its
// value is the digest of the image's manifest.
const LabelEvidenceSubject = "dev.dockerfactory.evidence.subject"

// Annotations on the manifest of a repacked image.
const (
	// AnnotationRepackSource is the digest of the manifest that was repacked.
	AnnotationRepackSource = "dev.dockerfactory.repack.source"
	// AnnotationRepackTree is the canonical tree digest of the root filesystem.
	AnnotationRepackTree = "dev.dockerfactory.repack.tree"
)

// Annotations on evidence referrers. They serve as an index only: a verdict is
// always derived from the signed payload, never from an annotation.
const (
	AnnotationEvidenceStatus   = "dev.dockerfactory.evidence.status"
	AnnotationEvidencePlatform = "dev.dockerfactory.evidence.platform"
	AnnotationEvidenceManifest = "dev.dockerfactory.evidence.manifest.id"
)

// Annotations on the manifests of sticky disks, and media types of their blobs.
const (
	// AnnotationDiskGeneration is the description of a generation, as JSON.
	AnnotationDiskGeneration = "dev.dockerfactory.stickydisk.generation"
	// These repeat what a reader of manifests looks for first.
	AnnotationDiskKey      = "dev.dockerfactory.stickydisk.key"
	AnnotationDiskRef      = "dev.dockerfactory.stickydisk.ref"
	AnnotationDiskPlatform = "dev.dockerfactory.stickydisk.platform"
	AnnotationDiskParent   = "dev.dockerfactory.stickydisk.parent"
	AnnotationDiskBuildkit = "dev.dockerfactory.stickydisk.buildkit.version"
	AnnotationDiskBuilder  = "dev.dockerfactory.stickydisk.builder"
	// AnnotationDiskInline holds blobs that are too small to be worth a request.
	AnnotationDiskInline = "dev.dockerfactory.stickydisk.inline"
	// AnnotationDiskMark is what a marker says: why a generation is bad, or that
	// there is no head.
	AnnotationDiskMark = "dev.dockerfactory.stickydisk.mark"

	MediaTypeDiskIndex    = "application/vnd.dockerfactory.stickydisk.index.v1+zstd"
	MediaTypeDiskPack     = "application/vnd.dockerfactory.stickydisk.pack.v1"
	MediaTypeDiskPackZstd = "application/vnd.dockerfactory.stickydisk.pack.v1+zstd"
)

// In-toto predicate types.
const (
	// PredicateCompatibility is the type of a compatibility record.
	PredicateCompatibility = "https://dockerfactory.dev/attestation/compatibility/v1"
	// PredicateEquivalence states that two images have equal root filesystems.
	PredicateEquivalence = "https://dockerfactory.dev/attestation/equivalence/v1"
	// PredicateSPDX is the type that cosign's alias "spdxjson" stands for.
	PredicateSPDX = "https://spdx.dev/Document"
	// PredicateTestResult is the in-toto test-result predicate, version 0.1.
	PredicateTestResult = "https://in-toto.io/attestation/test-result/v0.1"
)

// OCI artifact types.
const (
	ArtifactStickyDisk   = "application/vnd.dockerfactory.stickydisk.v1+json"
	ArtifactFragment     = "application/vnd.dockerfactory.fragment.v1+json"
	ArtifactEvidencePack = "application/vnd.dockerfactory.evidence.pack.v1"
)
