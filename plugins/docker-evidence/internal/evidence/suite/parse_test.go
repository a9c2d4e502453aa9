package suite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/suite"
)

func TestParse(t *testing.T) {
	s, err := suite.Parse("dir/smoke.yaml", []byte(`
timeout: 5s
commands:
  - run: echo  hi
    stdout: [hi, /^h.$/]
  - name: exec
    run: [python3, --version, 3]
    exit: 2
    stderr: 3.12
    env: {A: 1, B: , C: ""}
    user: "1000"
    workdir: /srv
    timeout: 1m
`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "smoke" || s.Network != suite.NetworkNone || !strings.HasPrefix(s.Digest, "sha256:") {
		t.Errorf("got %+v", s)
	}
	first, second := s.Commands[0], s.Commands[1]
	if diff := cmp.Diff([]string{"/bin/sh", "-c", "echo  hi"}, first.Args); diff != "" || first.Name != "echo hi" || first.Timeout != 5*time.Second {
		t.Errorf("first: %+v %s", first, diff)
	}
	if !first.Stdout[0].Match([]byte("oh hi!")) || !first.Stdout[1].Match([]byte("x\nhi\n")) || first.Stdout[1].Match([]byte("hi there")) {
		t.Error("the patterns do not match as they should")
	}
	if diff := cmp.Diff([]string{"python3", "--version", "3"}, second.Args); diff != "" {
		t.Error(diff)
	}
	if second.Exit != 2 || second.User != "1000" || second.Workdir != "/srv" || second.Timeout != time.Minute {
		t.Errorf("second: %+v", second)
	}
	if e := second.Env; len(e) != 3 || e[0].Value != "1" || !e[1].FromCaller || e[2].FromCaller || e[2].Value != "" {
		t.Errorf("env: %+v", e)
	}
	if !second.Stderr[0].Match([]byte("3.12")) || second.Stderr[0].Match([]byte("3x12")) {
		t.Error("a plain pattern is no expression")
	}
}

func TestParseMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"empty":           {"", []string{"f.yaml: the suite is empty"}},
		"comment":         {"# nothing\n", []string{"f.yaml: the suite is empty"}},
		"list":            {"- a\n", []string{"f.yaml:1:1: the suite is a list; it must be a mapping"}},
		"no commands":     {"name: x\n", []string{"f.yaml:1:1: the suite has no commands"}},
		"empty commands":  {"commands: []\n", []string{"f.yaml:1:11: the suite has no commands"}},
		"null commands":   {"commands:\n", []string{"f.yaml:1:10: commands is empty; it must be a list"}},
		"unknown key":     {"comands: []\n", []string{`f.yaml:1:1: unknown key "comands"; did you mean "commands"?`, "f.yaml:1:1: the suite has no commands"}},
		"twice":           {"name: a\nname: b\ncommands: [{run: [x]}]\n", []string{`f.yaml:2:1: key "name" occurs twice`}},
		"two documents":   {"commands: [{run: [x]}]\n---\na: b\n", []string{"f.yaml:2:1: a second document; a suite is one"}},
		"name":            {"name: ../x\ncommands: [{run: [x]}]\n", []string{`f.yaml:1:7: suite name "../x" may hold letters, digits, -, _ and . only`}},
		"network":         {"network: host\ncommands: [{run: [x]}]\n", []string{`f.yaml:1:10: network "host" is neither "none" nor "default"`}},
		"names":           {"commands:\n- {name: a, run: [x]}\n- {name: a, run: [y]}\n", []string{`f.yaml:3:3: a second command called "a"`}},
		"command":         {"commands: [x]\n", []string{"f.yaml:1:12: a command is a scalar; it must be a mapping"}},
		"pattern":         {"commands: [{run: [x], stdout: /(/, stderr: ''}]\n", []string{"f.yaml:1:31: regular expression: error parsing regexp: missing closing ): `(`", "f.yaml:1:44: an empty pattern matches everything"}},
		"env":             {"commands: [{run: [x], env: [a]}, {run: [y], env: {'': 1, 'a=b': 2}}]\n", []string{"f.yaml:1:28: env is a list; it must be a mapping of names to values", `f.yaml:1:51: "" cannot be the name of a variable`, `f.yaml:1:58: "a=b" cannot be the name of a variable`}},
		"values":          {"timeout: 99h\ncommands: [{run: ' ', exit: -1, workdir: x, user: }]\n", []string{"f.yaml:1:10: timeout 99h is not between 0 and 24h0m0s", "f.yaml:2:18: run is empty", `f.yaml:2:29: exit "-1" is not a number from 0 to 255`, `f.yaml:2:42: workdir "x" is not an absolute path`, "f.yaml:2:51: this is empty; it must be a string"}},
		"several at once": {"nam: x\ncommands:\n- rum: [a]\n", []string{`f.yaml:1:1: unknown key "nam"; did you mean "name"?`, `f.yaml:3:3: unknown key "rum"; did you mean "run"?`, "f.yaml:3:3: the command has no run"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := suite.Parse("f.yaml", []byte(tt.text))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(strings.Join(tt.want, "\n"), err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseIsBounded(t *testing.T) {
	if _, err := suite.Parse("f", make([]byte, suite.MaxSize+1)); err == nil {
		t.Error("a huge file was read")
	}
	loop := "a: &a [*a]\ncommands: [{run: *a}]\n"
	if _, err := suite.Parse("f", []byte(loop)); err == nil {
		t.Error("a list that holds itself was read")
	}
	words := "[" + strings.TrimSuffix(strings.Repeat("y,", 100_000), ",") + "]"
	for _, key := range []string{"run", "stdout"} {
		bomb := "commands:\n- {name: c0, run: [a], " + key + "2: &x " + words + "}\n"
		for i := range 900 {
			bomb += fmt.Sprintf("- {name: d%d, %s: *x}\n", i, key)
		}
		start := time.Now()
		_, err := suite.Parse("f", []byte(bomb))
		if err == nil || strings.Count(err.Error(), "with its aliases the suite is larger") != 1 {
			t.Errorf("%s: a bomb of aliases gives %.300v", key, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: a bomb of aliases takes %s", key, d)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("commands: [{run: [x], env: {A: }, stdout: /x/}]"))
	f.Add([]byte("a: &a [*a]\ncommands: [{run: *a}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := suite.Parse("f.yaml", data)
		if err != nil {
			if s != nil {
				t.Error("a suite and an error")
			}
			return
		}
		if len(s.Commands) == 0 {
			t.Error("a suite without commands passed")
		}
		for _, c := range s.Commands {
			if len(c.Args) == 0 || c.Args[0] == "" || c.Timeout <= 0 || c.Exit < 0 || c.Exit > 255 {
				t.Errorf("a command that cannot run passed: %+v", c)
			}
		}
	})
}
