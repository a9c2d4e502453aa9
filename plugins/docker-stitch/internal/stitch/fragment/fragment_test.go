package fragment_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/files"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/fragment"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/manifest"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/sourcemap"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// load loads a fragment that consists of the two texts, with params given as
// "NAME=value".
func load(t *testing.T, metadata, text string, params ...string) (string, error) {
	t.Helper()
	return loadEscaped(t, `\`, metadata, text, params...)
}

func loadEscaped(t *testing.T, escape, metadata, text string, params ...string) (string, error) {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "parts", "x")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{fragment.NativeFile: "name: x\nversion: 1\n" + metadata, fragment.TextFile: text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := files.Open(root, "")
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	use := manifest.Fragment{Name: manifest.Text{Value: "x"}, Version: manifest.Text{Value: "1"}, Dirs: []string{"none", "parts/x"}}
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		use.Params = append(use.Params, manifest.Param{Name: manifest.Text{Value: name}, Value: manifest.Text{Value: value}})
	}
	var errs fault.List
	f, ok := fragment.Load(tree, use, escape, &errs)
	if ok != (errs.Err() == nil) {
		t.Errorf("ok = %v with %v", ok, errs.Err())
	}
	return strings.Join(sourcemap.Texts(f.Lines), "\n"), errs.Err()
}

func TestOwnFiles(t *testing.T) {
	for in, want := range map[string]string{
		"COPY --from=fragment a b/ /x/":                                                   "COPY parts/x/a parts/x/b/ /x/",
		"COPY --from=fragment . /x/":                                                      "COPY parts/x /x/",
		"COPY --from=fragment /a /x":                                                      "COPY parts/x/a /x",
		"COPY --chown=1:1 --from=fragment --link a*.txt /x/":                              "COPY --chown=1:1 --link parts/x/a*.txt /x/",
		`COPY --from=fragment ["a b", "/x y"]`:                                            `COPY ["parts/x/a b", "/x y"]`,
		"COPY --parents --from=fragment a/b /x/":                                          "COPY --parents parts/x/./a/b /x/",
		"COPY --from=fragment \\\n  a \\\n  /x":                                           "COPY parts/x/a /x",
		"COPY --from=other a /x":                                                          "COPY --from=other a /x",
		"COPY a /x":                                                                       "COPY a /x",
		"RUN --mount=type=bind,from=fragment,source=a,target=/m  cat":                     "RUN --mount=type=bind,target=/m,source=parts/x/a  cat",
		"RUN --mount=from=fragment,target=/m cat":                                         "RUN --mount=target=/m,source=parts/x cat",
		"RUN --mount=type=bind,from=fragment,src=a,target=/m,rw \\\n b":                   "RUN --mount=type=bind,target=/m,rw,source=parts/x/a \\\n b",
		"RUN --mount=type=bind,From=fragment,source=a,target=/m cat":                      "RUN --mount=type=bind,target=/m,source=parts/x/a cat",
		"RUN \\\n# --mount=from=fragment,target=/m\n --mount=from=fragment,target=/m cat": "RUN \\\n# --mount=from=fragment,target=/m\n --mount=target=/m,source=parts/x cat",
		"ONBUILD COPY --from=other a /x":                                                  "ONBUILD COPY --from=other a /x",
		"RUN echo --mount=from=fragment":                                                  "RUN echo --mount=from=fragment",
	} {
		if got, err := load(t, "", in); got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"COPY --from=fragment ../a /x":                              "leads out of the fragment",
		"COPY --from=fragment a/../../b /x":                         "leads out of the fragment",
		"RUN --mount=from=fragment,source=../a,target=/ x":          "leads out of the fragment",
		`COPY --from=fragment "../a" /x`:                            "leads out of the fragment",
		"ONBUILD COPY --from=fragment a /x":                         "not in the context of a later build",
		"ONBUILD RUN --mount=from=fragment,target=/m x":             "not in the context of a later build",
		"RUN --mount=type=cache,from=fragment,source=a,target=/m x": "mount of type cache takes nothing from the fragment",
		"COPY --from=fragment <<EOF /x\nhi\nEOF":                    "takes files, not a here-document",
	} {
		if _, err := load(t, "", in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", in, err, want)
		}
	}
}

// The escape character is the template's.
func TestEscape(t *testing.T) {
	const text = "RUN echo `\n  COPY --from=fragment a /x\nCOPY --from=fragment a /y\nRUN dir C:\\"
	const want = "RUN echo `\n  COPY --from=fragment a /x\nCOPY parts/x/a /y\nRUN dir C:\\"
	if got, err := loadEscaped(t, "`", "", text); got != want || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestParams(t *testing.T) {
	const metadata = "params:\n  PORT: {type: integer}\n  MODE: {values: [fast, safe]}\n  TAG: {pattern: \"v[0-9]+\"}\n  DEBUG: {type: boolean}\n"
	const text = "ARG PORT=80\nARG MODE=safe\nARG TAG=v1\nARG DEBUG=false\nRUN true"
	for _, tt := range []struct{ param, want, err string }{
		{"PORT=8080", "ARG PORT=8080\nARG MODE=safe\nARG TAG=v1\nARG DEBUG=false\nRUN true", ""},
		{"PORT=many", "", `value "many" of PORT is no whole number`},
		{"PORT=8 0", "", `value "8 0" of PORT is no whole number`},
		{"MODE=fast", "ARG PORT=80\nARG MODE=fast\nARG TAG=v1\nARG DEBUG=false\nRUN true", ""},
		{"MODE=slow", "", `value "slow" of MODE is not one of`},
		{"TAG=v12", "ARG PORT=80\nARG MODE=safe\nARG TAG=v12\nARG DEBUG=false\nRUN true", ""},
		{"TAG=xv1", "", `value "xv1" of TAG does not match`},
		{"DEBUG=yes", "", `value "yes" of DEBUG is neither true nor false`},
		{"MOED=fast", "", `has no parameter "MOED"; did you mean "MODE"?`},
		{"TAG=v1\nRUN evil", "", "control character U+000A"},
	} {
		got, err := load(t, metadata, text, tt.param)
		if tt.err == "" && (err != nil || got != tt.want) {
			t.Errorf("%s: got %q, %v", tt.param, got, err)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: got %v, want %s", tt.param, err, tt.err)
		}
	}
	for in, want := range map[string]string{
		"RUN true":            `parameter "PORT" has no "ARG PORT"`,
		"ARG PORT X=1":        "declared together with others",
		"ARG PORT":            `needs a value for "PORT"`,
		"ARG PORT=x\nRUN hi":  `value "x" of PORT is no whole number`,
		"# nothing but words": "there is no instruction",
	} {
		if _, err := load(t, "params: {PORT: {type: integer}}\n", in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", in, err, want)
		}
	}
}

func TestMetadataMistakes(t *testing.T) {
	for in, want := range map[string]string{
		"ordre: 1\n":                                 `unknown key "ordre"; did you mean "order"?`,
		"order: x\n":                                 "want a whole number",
		"params: {a-b: {}}\n":                        `parameter "a-b" is no name for an ARG`,
		"params: {A: {type: int}}\n":                 "type is none of string, integer, boolean",
		"params: {A: {type: strin}}\n":               `did you mean "string"?`,
		"params: {A: {pattern: \"(\"}}\n":            "pattern: error parsing regexp",
		"name: y\n":                                  `key "name" is given twice`,
		"stages: maybe\n":                            "want true or false",
		"params:\n  A: {values: [{a: b}]}\n  B: 1\n": "want a mapping",
	} {
		if _, err := load(t, in, "ARG A=1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", in, err, want)
		}
	}
	if got, err := load(t, "stages: true\n", "FROM debian AS tools\nRUN true"); err != nil || got == "" {
		t.Errorf("stages: got %q, %v", got, err)
	}
}
