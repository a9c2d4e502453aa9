package text_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/text"
)

func TestLines(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want []string
		err  string
	}{
		"empty":             {"", nil, ""},
		"newline":           {"\n", nil, ""},
		"no final newline":  {"a\nb", []string{"a", "b"}, ""},
		"windows":           {"\xef\xbb\xbfa\r\nb\r\n", []string{"a", "b"}, ""},
		"tab":               {"\ta\n", []string{"\ta"}, ""},
		"empty line inside": {"a\n\nb\n", []string{"a", "", "b"}, ""},
		"nul":               {"a\nb\x00\n", nil, "f:2:2: control character U+0000"},
		"lone return":       {"a\rb\n", nil, "f:1:2: control character U+000D"},
		"override":          {"RUN \u202etrue\n", nil, "f:1:5: control character U+202E"},
		"not utf-8":         {"\xff", nil, "f:1:1: byte is not valid UTF-8"},
		"two mistakes":      {"\x01\n\x02\n", nil, "f:1:1: control character U+0001\nf:2:1: control character U+0002"},
		"long line":         {strings.Repeat("a", text.MaxLine+1), nil, "f:1:65536: line is longer than 65535 bytes"},
		"long file":         {strings.Repeat("a\n", text.MaxSize), nil, "f: file is larger than 4 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := text.Lines("f", []byte(tt.in))
			message := ""
			if err != nil {
				message = err.Error()
			}
			if !slices.Equal(got, tt.want) || message != tt.err {
				t.Errorf("got %q, %q; want %q, %q", got, message, tt.want, tt.err)
			}
		})
	}
}
