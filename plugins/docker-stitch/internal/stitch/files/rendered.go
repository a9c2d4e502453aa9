package files

import (
	"bytes"
	"fmt"
	"regexp"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/sourcemap"
)

var header = regexp.MustCompile(`^# docker stitch: manifest (\S+), id (sha256:[0-9a-f]{64})$`)

// Header returns the comment that marks a rendered Dockerfile.
func Header(name, id string) string {
	return fmt.Sprintf("# docker stitch: manifest %s, id %s", name, id)
}

// headerLines bounds how far down the header may stand: parser directives such
// as "# syntax" have to come before it, and nothing else does. A script that says
// as much in a comment was not rendered.
const headerLines = 8

var directive = regexp.MustCompile(`^#\s*[A-Za-z][A-Za-z0-9]*\s*=`)

// ReadHeader returns the manifest's name and id that a rendered Dockerfile says
// it was made from; ok is false if data is none.
func ReadHeader(data []byte) (name, id string, ok bool) {
	for range headerLines {
		line, rest, more := bytes.Cut(data, []byte("\n"))
		if m := header.FindSubmatch(bytes.TrimSuffix(line, []byte("\r"))); m != nil {
			return string(m[1]), string(m[2]), true
		}
		if !more || !directive.Match(line) {
			break
		}
		data = rest
	}
	return "", "", false
}

var sourceMap = regexp.MustCompile(`^\{\s*"mediaType":\s*"` + regexp.QuoteMeta(sourcemap.MediaType) + `"`)

// IsRendered reports whether a file that begins with head was made by docker
// stitch: a Dockerfile or a source map.
func IsRendered(head []byte) bool {
	_, _, ok := ReadHeader(head)
	return ok || sourceMap.Match(head)
}
