package layer_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"
	"time"

	. "github.com/dockerfactory/dockerfactory/shared/layer/layertest"
)

// TestDigestVector pins the format: the digest was computed from
// docs/design/001-canonical-tree-digest.md by a program that shares nothing with
// this package. It may change only together with the version in the first field.
func TestDigestVector(t *testing.T) {
	tree := merge(t, Tar(t,
		Entry{Header: tar.Header{Name: "dev/", Typeflag: tar.TypeDir, Mode: 0o1777, Uid: 5, Gid: 6, ModTime: time.Unix(-3, 500_000_000)}},
		Entry{Header: tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}},
		Entry{Header: tar.Header{Name: "dev-x", Typeflag: tar.TypeFifo, Mode: 0o600}},
		File("empty", ""),
		Symlink("link", "dev/null"),
		Entry{Body: "hello", Header: tar.Header{
			Name: "ö", Typeflag: tar.TypeReg, Mode: 0o4755, Uid: 3_000_000, Gid: 1,
			PAXRecords: map[string]string{"SCHILY.xattr.user.a": "", "SCHILY.xattr.security.capability": "\x01\x00"},
		}},
		Link("é", "ö"),
	))
	const want = "sha256:b4dfa8429e164d2c40c8e6998ca7aa5ac2979c6289a072aa3f594580d93a3b14"
	if got := tree.Digest().String(); got != want {
		t.Errorf("digest is %s", got)
	}
	var b bytes.Buffer
	if err := tree.WriteCanonical(&b); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	if "sha256:"+hex.EncodeToString(sum[:]) != want {
		t.Errorf("the canonical stream is\n%q", b.String())
	}
}

// The root is the first entry, also before names that sort before its ".".
func TestRootComesFirst(t *testing.T) {
	tree := merge(t, Tar(t, File("-rf", "x"), Link(" ", "-rf"), File("a", "")))
	var got []string
	for e := range tree.All() {
		got = append(got, e.Path)
		if _, ok := tree.Lookup(e.Path); !ok {
			t.Errorf("%q cannot be looked up", e.Path)
		}
	}
	if !slices.Equal(got, []string{".", " ", "-rf", "a"}) {
		t.Errorf("got %q", got)
	}
	if _, ok := tree.Lookup("!"); ok {
		t.Error("a path that is not there was found")
	}
}

// An extended attribute cannot be mistaken for another entry's fields.
func TestDigestIsUnambiguous(t *testing.T) {
	with := func(name, key, value string) string {
		e := File(name, "")
		e.PAXRecords = map[string]string{"SCHILY.xattr." + key: value}
		return merge(t, Tar(t, e)).Digest().String()
	}
	seen := map[string]bool{}
	for _, d := range []string{with("a", "k", "v"), with("a", "kv", ""), with("a", "k", "v,1:a"), with("ak", "k", "v"), with("a", "k", "")} {
		if seen[d] {
			t.Errorf("digest %s for two trees", d)
		}
		seen[d] = true
	}
}
