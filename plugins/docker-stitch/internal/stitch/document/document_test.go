package document_test

import (
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/document"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

type parse func(string, []byte, *fault.List) document.Value

func TestScalarsAreReadAsWritten(t *testing.T) {
	for in, want := range map[string]string{
		"v: 1.10": "1.10", "v: 012": "012", "v: '1.10'": "1.10", "v: no": "no", "v: 0x1F": "0x1F",
		"v: 1e3": "1e3", "v: 2024-01-01": "2024-01-01", "v: true": "true", "a: &x 1.0\nv: *x": "1.0",
	} {
		var errs fault.List
		got := document.ParseYAML("f", []byte(in), &errs).Fields("v", "a")["v"].Text()
		if got != want || errs.Err() != nil {
			t.Errorf("%q: got %q, %v; want %q", in, got, errs.Err(), want)
		}
	}
}

func TestMistakesHavePositions(t *testing.T) {
	for name, tt := range map[string]struct {
		parse parse
		in    string
		want  string
	}{
		"unknown key":    {document.ParseYAML, "a: 1\nbb: 2\n", `f:2:1: unknown key "bb"; did you mean "b"?`},
		"null":           {document.ParseYAML, "a:\n", "f:1:3: want a string, not nothing"},
		"mapping":        {document.ParseYAML, "a: {}\n", "f:1:4: want a string, not a mapping"},
		"twice":          {document.ParseYAML, "a: 1\na: 2\n", `f:2:1: key "a" is given twice`},
		"twice in JSON":  {document.ParseJSON, "{\"a\": 1,\n \"a\": 2}", `f:2:2: key "a" is given twice`},
		"list for a map": {document.ParseYAML, "- a\n", "f:1:1: want a mapping, not a list"},
		"JSON syntax":    {document.ParseJSON, "{\"a\":\n  x}", "f:2:3: invalid character 'x' looking for beginning of value"},
		"JSON tail":      {document.ParseJSON, "{} {}", "f:1:4: invalid character '{' after top-level value"},
		"JSON cut":       {document.ParseJSON, "{\"a\"", "f:1:4: unexpected end of JSON input"},
		"empty":          {document.ParseYAML, "# nothing\n", "f: file is empty"},
		"two documents":  {document.ParseYAML, "a: 1\n---\na: 2\n", "f: file has more than one document"},
		"control":        {document.ParseYAML, "a: 1\nb: \x00\n", "f:2:4: control character U+0000"},
		"merge key":      {document.ParseYAML, "<<: {a: 1}\n", `f:1:1: unknown key "<<"`},
	} {
		t.Run(name, func(t *testing.T) {
			var errs fault.List
			tt.parse("f", []byte(tt.in), &errs).Fields("a", "b")["a"].Text()
			err := errs.Err()
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestJSONPositions(t *testing.T) {
	var errs fault.List
	v := document.ParseJSON("f", []byte("{\n  \"a\" : [ \"\\ud83d\\ude00\",\n    2 ]}"), &errs)
	items := v.Fields("a")["a"].Items()
	if len(items) != 2 || items[0].Text() != "😀" || items[1].Position().String() != "f:3:5" || items[1].Int() != 2 {
		t.Errorf("got %v, %v", items, errs.Err())
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: 1", "{\"a\": [1, {\"b\": null}]}", "a: &x [*x]", "- {a: b}", "\xff", "a: !!binary x", "? [a]\n: b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range []parse{document.ParseYAML, document.ParseJSON} {
			var errs fault.List
			visit(p("f", data, &errs), 0)
		}
	})
}

func visit(v document.Value, depth int) {
	if depth > 8 {
		return
	}
	v.Text()
	v.Int()
	for _, p := range v.Pairs() {
		visit(p.Value, depth+1)
	}
	for _, i := range v.Items() {
		visit(i, depth+1)
	}
}
