package dockerfile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/dockerfile"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/text"
)

func lines(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n") }

// FormatArg must give back the very value after BuildKit's parser and its word
// expansion, whatever is in it.
func FuzzFormatArg(f *testing.F) {
	for _, s := range []string{"", "a", "a b", `say "hi"`, `$HOME ${X:-y}`, `back\slash`, "`tick`", "'single'", `\"`, "#x", `a\`, "<<EOF", "é"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, value string, windows bool) {
		for _, r := range value {
			if r < 0x20 || r == 0xfffd || text.IsControl(r) {
				return // no parameter takes such a value
			}
		}
		escape, source := `\`, ""
		if windows {
			escape, source = "`", "# escape=`\n"
		}
		source += dockerfile.FormatArg("X", value, escape) + "\nFROM scratch\n"
		parsed, err := dockerfile.Parse(lines(source))
		if err != nil {
			t.Fatalf("%q: %v", source, err)
		}
		c, ok := parsed.Instructions[0].Command.(*instructions.ArgCommand)
		if !ok || len(c.Args) != 1 || c.Args[0].Value == nil {
			t.Fatalf("%q: parsed as %+v, %v", source, parsed.Instructions[0].Command, parsed.Instructions[0].Err)
		}
		got, _, err := shell.NewLex(rune(escape[0])).ProcessWord(*c.Args[0].Value, shell.EnvsFromSlice([]string{"HOME=no", "X=no"}))
		if err != nil || got != value {
			t.Errorf("%q: got %q, %v; want %q", source, got, err, value)
		}
	})
}

func TestContextSources(t *testing.T) {
	for in, want := range map[string]string{
		"COPY a b/ /x":                                     "a b",
		"COPY --from=base a /x":                            "",
		`COPY ["a b", "/x"]`:                               "a b",
		"COPY . /x":                                        ".",
		"COPY ../../a /x":                                  "a",
		"COPY a/*.txt b/$V/c /x":                           "a~ b~",
		"COPY $V /x":                                       ".~",
		"COPY a/*/../../b /x":                              ".~",
		"COPY a/${V:-../b} /x":                             ".~",
		`COPY "a/b" /x`:                                    "a/b",
		`COPY a"/"b /x`:                                    ".~",
		"ONBUILD COPY a /x\nFROM scratch":                  "a~",
		"ONBUILD COPY a /x":                                "",
		"COPY <<EOF /x\nhi\nEOF":                           "",
		"ADD https://example.com/a a.tar /x":               "a.tar",
		"ADD https://github.com/moby/moby.git#v1 /x":       "",
		"ADD git@github.com:moby/moby.git /x":              "",
		"RUN --mount=type=bind,source=a,target=/x true":    "a",
		"RUN --mount=target=/x true":                       ".",
		"RUN --mount=type=cache,target=/x true":            "",
		"RUN --mount=type=bind,from=b,source=a,target=/ x": "",
	} {
		parsed, err := dockerfile.Parse(append([]string{"FROM scratch"}, lines(in)...))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range parsed.ContextSources(parsed.Instructions[1]) {
			if !s.Exact {
				s.Path += "~"
			}
			got = append(got, s.Path)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q (%v)", in, got, want, parsed.Instructions[1].Err)
		}
	}
}

func TestClosed(t *testing.T) {
	for in, want := range map[string]bool{
		"RUN true": true, "RUN true \\": false, "RUN true \\\n# comment": false, "RUN <<EOF\nx": false,
		"RUN <<EOF\nx\nEOF": true, "RUN a\n# end": true,
	} {
		if got := dockerfile.Closed(lines(in), dockerfile.DefaultEscape); got != want {
			t.Errorf("Closed(%q) = %v", in, got)
		}
	}
}

// A part is read as the whole will be, its lines counted from 1.
func TestParsePart(t *testing.T) {
	part := lines("RUN a `\nCOPY x /\nRUN dir C:\\")
	f, err := dockerfile.ParsePart(part, "`")
	if err != nil || len(f.Instructions) != 2 || f.Instructions[0].Start != 1 || f.Instructions[0].End != 2 {
		t.Errorf("got %+v, %v", f.Instructions, err)
	}
	if !dockerfile.Closed(part, "`") || dockerfile.Closed(part, dockerfile.DefaultEscape) {
		t.Error("a backslash at the end opens a line where the backtick is the escape character")
	}
	_, err = dockerfile.ParsePart(lines("RUN true\nRUN <<X\n"), "`")
	var line *dockerfile.LineError
	if !errors.As(err, &line) || line.Line != 2 {
		t.Errorf("got %v, want an error in line 2", err)
	}
}

func TestLint(t *testing.T) {
	warnings, err := dockerfile.Lint(t.Context(), []byte("FROM debian as x\nMAINTAINER me\nENV A $B\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, fmt.Sprintf("%d %s", w.Line, w.Rule))
	}
	want := "1 FromAsCasing, 2 MaintainerDeprecated, 3 LegacyKeyValueFormat, 3 UndefinedVar"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
	_, err = dockerfile.Lint(t.Context(), []byte("FROM debian\nCOPY --from=nowhere/a:b:c /x /\n"))
	var line *dockerfile.LineError
	if !errors.As(err, &line) || line.Line != 2 {
		t.Errorf("got %v, want an error in line 2", err)
	}
}
