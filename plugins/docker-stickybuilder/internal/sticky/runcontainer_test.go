package sticky

import (
	"errors"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func TestExplainBoot(t *testing.T) {
	for said, c := range map[string]struct{ word, hint string }{
		"#1 ERROR: pulling\nERROR: Error response from daemon: No such image: x\n":                             {"No such image: x", "--driver-opt image=IMAGE"},
		"ERROR: exec: \"docker-init\": executable file not found in $PATH":                                     {"docker-init", "install tini"},
		"ERROR: failed to create task: runc create failed: unable to apply caps: operation not permitted":      {"unable to apply caps", "--driver process"},
		"Name: x\nDriver: docker-container\nError:          invalid driver option teapot for docker-container": {"invalid driver option teapot", ""},
		"Name: x\nDriver: docker-container\nStatus: running\n":                                                 {"", ""},
	} {
		word := lastError(said)
		if !strings.Contains(word, c.word) || (c.word == "" && word != "") {
			t.Errorf("%q: %q", said, word)
		}
		if hint := fault.HintOf(explainBoot(errors.New("x"), word, "")); !strings.Contains(hint, c.hint) || (c.hint == "" && hint != "") {
			t.Errorf("%q: hint %q", said, hint)
		}
	}
}
