package change

import (
	"archive/tar"
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

type file struct {
	name  string
	seed  byte
	mtime int64
}

// tree makes a tar of files of 100 kB that do not compress.
func tree(t *testing.T, files ...file) *bytes.Buffer {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		data := make([]byte, 100_000)
		_, _ = rand.NewChaCha8([32]byte{f.seed}).Read(data)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(data)), Mode: 0o644, ModTime: time.Unix(f.mtime, 0)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

func TestChanges(t *testing.T) {
	old := []file{{"a", 1, 1}, {"b", 2, 1}}
	for _, c := range []struct {
		name              string
		files             []file
		contents, entries int64 // in files
	}{
		{"nothing", old, 0, 0},
		{"a file removed", old[:1], 0, 0},
		{"a file more", append([]file{{"c", 3, 1}}, old...), 1, 1},
		{"another time", []file{{"a", 1, 2}, {"b", 2, 1}}, 0, 1},
		{"a copy", append([]file{{"c", 1, 1}}, old...), 0, 1},
		{"moved and changed", []file{{"b", 1, 1}, {"a", 9, 1}}, 1, 2},
		{"twice the same", append([]file{{"c", 3, 1}, {"d", 3, 1}}, old...), 1, 1}, // the long window takes the second
	} {
		before, _, err := read(Tree{}, tree(t, old...))
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := read(before, tree(t, c.files...))
		if err != nil {
			t.Fatal(err)
		}
		if got.Contents/100_000 != c.contents || got.Entries/100_000 != c.entries {
			t.Errorf("%s: %+v, want about %d and %d files", c.name, got, c.contents, c.entries)
		}
	}
}

func TestReadRefusesATruncatedTar(t *testing.T) {
	if _, _, err := read(Tree{}, bytes.NewReader(tree(t, file{"a", 1, 1}).Bytes()[:5000])); err == nil {
		t.Error("no error")
	}
}
