package repack

import (
	"fmt"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// Members of the config that no specification knows are compared too, and those that
// are spelled in another way than it has them.
func TestCompareListsEveryFieldOfTheConfig(t *testing.T) {
	tree, err := layer.Merge(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ a, b, want string }{
		"equal":             {`{"Cmd":["a"],"zone":{"b":1,"a":2}}`, `{"zone":{"a":2,"b":1},"Cmd":["a"]}`, `[]`},
		"unknown":           {`{"Zone":"here"}`, `{"Zone":"there"}`, `[config: Zone: "\"here\"" and "\"there\""]`},
		"gone":              {`{"Isolation":"process","Cmd":["a"]}`, `{"Cmd":["a"]}`, `[config: Isolation: "\"process\"" and ""]`},
		"another case":      {`{"entrypoint":["a"]}`, `{"entrypoint":["b"]}`, `[config: entrypoint: "[\"a\"]" and "[\"b\"]"]`},
		"empty and missing": {`{"AttachStdin":false,"Image":"","Odd":null}`, `{}`, `[]`},
		"known ones first":  {`{"Apparmor":"x","User":"u"}`, `{}`, `[config: User: "\"u\"" and "" config: Apparmor: "\"x\"" and ""]`},
	} {
		a, b := &original{rawConfig: []byte(`{"config":` + tt.a + `}`)}, &original{rawConfig: []byte(`{"config":` + tt.b + `}`)}
		if got := fmt.Sprint(compare(a, tree, b, tree)); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}
