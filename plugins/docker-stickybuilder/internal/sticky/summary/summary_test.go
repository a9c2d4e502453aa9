package summary

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	unsafe "github.com/yuin/goldmark/renderer/html"
	"golang.org/x/net/html"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/history"
)

func sample(t *testing.T) *sticky.Report {
	t.Helper()
	text, err := os.ReadFile("../testdata/report.json")
	if err != nil {
		t.Fatal(err)
	}
	var r sticky.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

func markdown(t *testing.T, r *sticky.Report, limit int) string {
	t.Helper()
	var b strings.Builder
	if err := Markdown(&b, r, limit); err != nil {
		t.Fatal(err)
	}
	if b.Len() > limit {
		t.Errorf("%d bytes, and %d are allowed", b.Len(), limit)
	}
	return b.String()
}

// render is what a browser makes of the Markdown: its elements, and the cells of its
// tables' rows. HTML in it is let through, so that it would show.
func render(t *testing.T, text string) (elements []string, rows [][]string) {
	t.Helper()
	var b strings.Builder
	md := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(unsafe.WithUnsafe()))
	if err := md.Convert([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if !slices.Contains(elements, n.Data) {
			elements = append(elements, n.Data)
		}
		switch n.Data {
		case "tr":
			rows = append(rows, nil)
		case "td", "th":
			cell := ""
			for c := range n.Descendants() {
				if c.Type == html.TextNode {
					cell += c.Data
				}
			}
			rows[len(rows)-1] = append(rows[len(rows)-1], cell)
		}
	}
	slices.Sort(elements)
	return elements, rows
}

var harmless = []string{"body", "h3", "head", "html", "strong", "table", "tbody", "td", "th", "thead", "tr"}

func TestGolden(t *testing.T) {
	got := markdown(t, sample(t), MaxBytes)
	const file = "testdata/report.md"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
	elements, rows := render(t, got)
	if diff := cmp.Diff(harmless, elements); diff != "" {
		t.Error(diff)
	}
	b := sample(t).Builds[2]
	if want := []string{b.Name, "", "", "failed", "0/3 (0 %)", "1.2", b.Error}; !cmp.Equal(rows[3], want) {
		t.Errorf("got %q want %q", rows[3], want)
	}
}

func TestLimit(t *testing.T) {
	r := sample(t)
	bad := history.Build{Name: "bad", Outcome: history.Failed, Error: strings.Repeat("*", 400)}
	r.Builds = nil
	for i := range 20_000 {
		r.Builds = append(r.Builds, history.Build{Name: fmt.Sprintf("good%d", i), Outcome: history.OK, Error: strings.Repeat("|", 30)})
	}
	r.Builds = append(r.Builds, bad)
	for _, limit := range []int{MaxBytes, 20_000} {
		_, rows := render(t, markdown(t, r, limit))
		shown := 0
		var last, more string
		for _, row := range rows {
			switch {
			case strings.HasPrefix(row[0], "good"):
				shown++
			case row[0] == "bad":
				last = row[6]
			case strings.HasPrefix(row[0], "and "):
				more = row[0]
			}
		}
		if last != bad.Error || shown == 0 || more != fmt.Sprintf("and %d more", 20_000-shown) {
			t.Errorf("limit %d: %d shown, %q, %q", limit, shown, more, last)
		}
	}
	if err := Markdown(&strings.Builder{}, r, 100); !errors.Is(err, ErrFull) {
		t.Errorf("100 bytes: %v", err)
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{
		"a|b\\|c", "<img src=x onerror=alert(1)>", "[x](https://e.example)", "https://e.example www.e.example WWW.e.example e@e.example",
		"**b** _i_ ~~s~~ `c`", "&lt;&amp;&#60;", "# h", "$x$", "\u202eevil", "a\nb", "@team #1", "![i](x)", "1. x", "- [ ] x", "ftp://x", "mailto:x@y.zz", "::: /", "http:/\u200b/x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := &sticky.Report{Name: "n", Decision: sticky.Committed, Builds: []history.Build{{Name: "n", Error: s, Outcome: history.OK}}}
		elements, rows := render(t, markdown(t, r, MaxBytes))
		for _, e := range elements {
			if !slices.Contains(harmless, e) {
				t.Errorf("%q makes an element %s", s, e)
			}
		}
		want := strings.Map(func(r rune) rune {
			switch {
			case r == '\n' || r == '\t' || r == '\r':
				return ' '
			case !unicode.IsGraphic(r):
				return unicode.ReplacementChar
			}
			return r
		}, s)
		if len(s) > maxText {
			return
		}
		if len(rows) < 2 || len(rows[1]) != 7 || strings.Trim(rows[1][6], " ") != strings.Trim(want, " ") {
			t.Errorf("%q is shown as %q", want, rows)
		}
	})
}
