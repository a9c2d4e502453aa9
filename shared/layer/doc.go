// Package layer computes the root filesystem that a stack of OCI layers stands
// for, without unpacking it.
//
// [Scan] reads one layer's tar stream once and keeps its headers and the sha256
// of each file, never the contents. [Merge] applies such changesets on top of
// each other, with whiteouts, opaque markers, replacements and hard links, into a
// [Tree]. [Tree.Digest] names that tree by one digest that everybody can
// recompute, and [Diff] lists how two trees differ. [MergeObserved] also tells which
// names the layers took away, and what in them programs read in different ways.
//
// The rules of application, with the reading chosen where engines disagree, are
// in docs/design/002-layer-application.md; the digest is specified in
// docs/design/001-canonical-tree-digest.md.
//
// The package fetches nothing, writes nothing and knows no manifests.
package layer
