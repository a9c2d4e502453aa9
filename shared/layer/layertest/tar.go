// Package layertest makes layers for tests and reads directories back, so that
// what the layer package computes can be held against what an engine, a kernel or
// another program makes of the same layers.
package layertest

import (
	"archive/tar"
	"bytes"
	"maps"
	"testing"
	"time"
)

// An Entry is one tar entry. The zero values of a header stand for something
// usual: mode 0644, or 0755 for directories, and a fixed time.
type Entry struct {
	tar.Header
	Body string
}

// When is the time of entries that name none.
var When = time.Unix(1700000000, 0)

var epoch = time.Unix(0, 0)

// With returns the entry with its header changed.
func (e Entry) With(change func(*tar.Header)) Entry {
	change(&e.Header)
	return e
}

// Xattr returns the entry with one more extended attribute.
func (e Entry) Xattr(name, value string) Entry {
	records := maps.Clone(e.PAXRecords)
	if records == nil {
		records = map[string]string{}
	}
	records["SCHILY.xattr."+name] = value
	e.PAXRecords = records
	return e
}

// File, Dir, Symlink and Link make the usual entries.
func File(name, body string) Entry {
	return Entry{tar.Header{Name: name, Typeflag: tar.TypeReg}, body}
}

// Dir makes a directory entry.
func Dir(name string) Entry { return Entry{Header: tar.Header{Name: name, Typeflag: tar.TypeDir}} }

// Symlink makes a symlink entry.
func Symlink(name, target string) Entry {
	return Entry{Header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}}
}

// Link makes a hard link entry.
func Link(name, target string) Entry {
	return Entry{Header: tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}}
}

func withDefaults(e Entry) tar.Header {
	h := e.Header
	if h.ModTime.IsZero() {
		h.ModTime = When
	}
	if h.Mode == 0 {
		h.Mode = 0o644
		if h.Typeflag == tar.TypeDir {
			h.Mode = 0o755
		}
	}
	if h.ModTime.Nanosecond() != 0 || h.PAXRecords != nil {
		h.Format = tar.FormatPAX
	}
	if h.Typeflag == tar.TypeReg {
		h.Size = int64(len(e.Body))
	}
	return h
}

// Tar returns the layer with the given entries, in their order and spelling.
func Tar(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := withDefaults(e)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("writing header of %q: %v", h.Name, err)
		}
		if _, err := w.Write([]byte(e.Body)); err != nil {
			t.Fatalf("writing %q: %v", h.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
