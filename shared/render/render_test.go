package render_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/render"
)

type row struct {
	Name string `json:"name"`
	Size int    `json:"size"`
}

func TestPrint(t *testing.T) {
	rows := []row{{"a<b", 1}, {"long name", 22}}
	table := func(w io.Writer) error {
		fmt.Fprintln(w, "NAME\tSIZE")
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%d\n", r.Name, r.Size)
		}
		return nil
	}
	tests := map[string]struct {
		flags render.Flags
		want  string
	}{
		"table":    {render.Flags{}, "NAME       SIZE\na<b        1\nlong name  22\n"},
		"json":     {render.Flags{Format: "json"}, "[\n  {\n    \"name\": \"a<b\",\n    \"size\": 1\n  },\n  {\n    \"name\": \"long name\",\n    \"size\": 22\n  }\n]\n"},
		"template": {render.Flags{Format: "{{.Name}}={{.Size}}"}, "a<b=1\nlong name=22\n"},
		"quiet":    {render.Flags{Quiet: true, Format: "json"}, "sha256:id\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := tt.flags.Print(&out, "sha256:id", rows, table); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("got %q want %q", out.String(), tt.want)
			}
		})
	}
}

func TestValidateRejectsABadTemplate(t *testing.T) {
	if err := (render.Flags{Format: "{{.Name"}).Validate(); err == nil {
		t.Error("want an error")
	}
	if err := (render.Flags{Format: "json"}).Validate(); err != nil {
		t.Error(err)
	}
}

type part struct{ Size int }

type result struct {
	Name  string
	Done  bool
	Parts []part
	First *part
	By    map[string]part
	Next  *result
	Any   any
}

func (result) Method() string { return "" }

func TestValidateFindsMissingFields(t *testing.T) {
	for format, ok := range map[string]bool{
		"{{.Name}}": true, "{{.Nme}}": false, "{{.Method}}": true,
		"{{range .Parts}}{{.Size}}{{end}}": true, "{{range .Parts}}{{.Sze}}{{end}}": false,
		"{{(index .Parts 0).Size}}": true, "{{(index .Parts 0).Sze}}": false, "{{(index .Parts 7).Size}}": true,
		"{{.First.Size}}": true, "{{.First.Sze}}": false, "{{.Next.Next.Nme}}": false,
		"{{range .By}}{{.Sze}}{{end}}": false, "{{.Any.Thing}}": true,
		"{{if .Done}}{{.Nme}}{{end}}": false, "{{if not .Done}}{{.Nme}}{{end}}": false, "{{if .Done}}x{{else}}{{.Nme}}{{end}}": false,
		"{{json .}}": true, "table": true, "json": true,
	} {
		for _, data := range []any{result{}, &result{}, []result{}, (*result)(nil)} {
			if err := (render.Flags{Format: format}).Validate(data); (err == nil) != ok {
				t.Errorf("%s of %T: %v", format, data, err)
			}
		}
	}
}
