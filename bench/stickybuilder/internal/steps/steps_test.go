package steps

import (
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	text := `warning: something else
{"vertexes":[{"digest":"sha256:01","name":"[internal] load build definition","completed":"2024-01-01T00:00:00Z"}]}
{"vertexes":[{"digest":"sha256:02","name":"[web 1/2] FROM debian","started":"2024-01-01T00:00:00Z"},{"digest":"sha256:03","name":"[web 2/2] RUN x"},{"digest":"sha256:07","name":"[web 2/3] COPY a b"}]}
{"vertexes":[{"digest":"sha256:07","name":"[web 2/3] COPY a b","completed":"2024-01-01T00:00:00Z","cached":true}]}
{"vertexes":[{"digest":"sha256:07","name":"[api 2/3] COPY a b","completed":"2024-01-01T00:00:00Z"},{"digest":"sha256:02","name":"[api 1/2] FROM debian","completed":"2024-01-01T00:00:00Z"}]}
{"vertexes":[{"digest":"sha256:03","name":"[web 2/2] RUN x","completed":"2024-01-01T00:00:00Z"}],"logs":[{"vertex":"sha256:03","stream":1,"data":"aGVsbG8K"}]}
{"vertexes":[{"digest":"sha256:04","name":"[web internal] load metadata","completed":"2024-01-01T00:00:00Z"},{"digest":"sha256:05","name":"exporting to image","completed":"2024-01-01T00:00:00Z"},{"digest":"sha256:06","name":"[web 3/2] RUN never","started":"2024-01-01T00:00:00Z"}]}
`
	got, err := Read(strings.NewReader(text))
	if want := (Tally{Cached: 1, Total: 2, Output: "hello\n"}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := Read(strings.NewReader("{\n")); err == nil {
		t.Error("half an object gives no error")
	}
}
