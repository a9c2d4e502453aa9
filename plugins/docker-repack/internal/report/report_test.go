package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dockerfactory/dockerfactory/plugins/docker-repack/internal/repack"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// hostile is a text that breaks out of whatever does not escape it.
const hostile = "</td></table><script>alert(1)</script><img src=x onerror='y'>\" style=\"{{.}}&amp;\x1b[31m\u202e"

func sample() *repack.Analysis {
	dir := []repack.Directory{{Path: hostile, FileBytes: 60, DeadBytes: 30}, {Path: "usr/lib", FileBytes: 10}}
	file := repack.DeadFile{Path: hostile, Bytes: 30, Layer: 0, By: 1, How: "deleted", Kept: true, Secret: "token"}
	return &repack.Analysis{
		Source: hostile, SourceDigest: "sha256:source", Warnings: []string{hostile},
		Images: []*repack.ImageAnalysis{{
			Platform: hostile, SourceDigest: "sha256:image", Tree: "sha256:tree",
			Before: repack.Before{
				Layers: []repack.SourceLayer{
					{Digest: "sha256:one", Bytes: 50, FileBytes: 100, DeadBytes: 30, DuplicateBytes: 20, CreatedBy: hostile},
					{Digest: "sha256:two", Bytes: 5},
				},
				Bytes: 55, FileBytes: 100, DeadBytes: 30, DuplicateBytes: 20, Efficiency: 0.7,
			},
			After: repack.After{
				Layers:         []repack.PlannedLayer{{PredictedBytes: 30, FileBytes: 70, DuplicateBytes: 20, First: hostile, Last: "z", Directories: dir}},
				PredictedBytes: 30, Ratio: 0.5, FileBytes: 70,
			},
			Dead:        repack.DeadFiles{Files: []repack.DeadFile{file}, More: 3, Secrets: []repack.DeadFile{file}, MoreSecrets: 4},
			Duplicates:  repack.Duplicates{Groups: []repack.DuplicateGroup{{Bytes: 10, Copies: 3, Wasted: 20, Paths: []string{hostile, "b"}}}, More: 5},
			Directories: dir,
		}},
	}
}

// parse reads a page, which is well-formed XML as well, and returns how often each
// element is there, all attributes, and the text.
func parse(t *testing.T, page string) (elements map[string]int, attributes []xml.Attr, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	elements = map[string]int{}
	var b strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return elements, attributes, b.String()
		}
		if err != nil {
			t.Fatalf("the page does not parse: %v\n%s", err, page)
		}
		switch e := token.(type) {
		case xml.StartElement:
			elements[e.Name.Local]++
			attributes = append(attributes, e.Attr...)
		case xml.CharData:
			b.Write(e)
		}
	}
}

func TestHTML(t *testing.T) {
	var b strings.Builder
	if err := HTML(&b, sample()); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	elements, attributes, text := parse(t, page)
	for _, name := range []string{"script", "img", "link", "iframe", "a"} {
		if elements[name] > 0 {
			t.Errorf("%d elements %s", elements[name], name)
		}
	}
	if elements["table"] != 6 {
		t.Errorf("%d tables", elements["table"])
	}
	var widths []string
	for _, a := range attributes {
		switch {
		case slices.Contains([]string{"src", "href", "onerror"}, a.Name.Local), strings.Contains(a.Value, "ZgotmplZ"):
			t.Errorf("attribute %v", a)
		case a.Name.Local == "style":
			widths = append(widths, strings.TrimPrefix(a.Value, "width: "))
		}
	}
	want := []string{"50.00%", "20.00%", "30.00%", "0.00%", "0.00%", "0.00%", "50.00%", "20.00%", "0.00%", "66.67%", "33.33%", "11.11%", "0.00%"}
	if diff := cmp.Diff(want, widths); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(text, Printable(hostile)); n < 8 {
		t.Errorf("the hostile name is shown %d times:\n%s", n, text)
	}
	for _, want := range []string{"2 → 1", "55B → about 30B", "50.0 %", "… and 3 more files", "… and 4 more files", "… and 5 more groups", "… and 1 more", "Layers after, predicted"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(page, "\x1b") || strings.Contains(page, "\u202e") || strings.Contains(page, "//") || strings.Contains(page, "url(") {
		t.Error("the page has control characters or addresses")
	}
}

// With actual sizes, the page shows those.
func TestHTMLOfARun(t *testing.T) {
	a := sample()
	a.Images[0].After.Bytes, a.Images[0].After.Layers[0].Bytes, a.Images[0].After.Layers[0].Digest = 44, 44, "sha256:made"
	var b strings.Builder
	if err := HTML(&b, a); err != nil {
		t.Fatal(err)
	}
	if _, _, text := parse(t, b.String()); !strings.Contains(text, "55B → 44B") || strings.Contains(text, "predicted") {
		t.Error(text)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "r.json")
	for range 2 { // the second one takes the place of the first
		if err := WriteFile(name, sample()); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var back repack.Analysis
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), &back); diff != "" {
		t.Error(diff)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// A file that cannot be renamed leaves nothing behind.
func TestWriteFileCleansUp(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "r.html")
	if err := os.MkdirAll(filepath.Join(name, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(name, sample()); err == nil || !strings.Contains(err.Error(), "writing report") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{
		"r.json": "", "r.HTML": "", "r.txt": "the name does not tell the format", "r": "the name does not tell the format",
		"no/r.json": "no such file or directory",
	} {
		err := Check(filepath.Join(dir, name))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	if fault.HintOf(Check(filepath.Join(dir, "r"))) == "" {
		t.Error("no hint")
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"a\n  b\tc": "a b c", "0123456789": "0123456789", "0123456789x": "012345678…", strings.Repeat("é", 1000): "ééééééééé…", "\x1b": `"\x1b"`,
	} {
		if got := Clip(in, 10); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
