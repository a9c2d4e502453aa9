package manifest

import (
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/document"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
)

// ReadText takes a scalar from a document; what check says about it, which may be
// nil, is reported there.
func ReadText(v document.Value, check func(string) error) Text {
	if check == nil {
		check = func(string) error { return nil }
	}
	return Text{Value: v.Check(check), At: v.Position()}
}

// ReadPath takes the path of a file in the project from a document.
func ReadPath(v document.Value) Text {
	t := ReadText(v, func(s string) error {
		_, err := files.Clean(s)
		return err
	})
	if clean, err := files.Clean(t.Value); err == nil {
		t.Value = clean
	}
	return t
}
