package intoto_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/intoto"
)

var digest = "sha256:" + strings.Repeat("ab", 32)

func TestStatement(t *testing.T) {
	subject := intoto.Descriptor{Name: "app", Digest: intoto.Digests(digest)}
	predicate := json.RawMessage(`{"b":"<&>","a":1}`)
	data, err := intoto.New(subject, "https://example.com/p", predicate)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":"` + strings.Repeat("ab", 32) +
		`"}}],"predicateType":"https://example.com/p","predicate":{"b":"<&>","a":1}}`
	if string(data) != want {
		t.Errorf("got %s", data)
	}
	for _, kind := range []string{intoto.PayloadType, "application/vnd.in-toto.provenance+json"} {
		s, err := intoto.Parse(kind, data)
		if err != nil || string(s.Predicate) != string(predicate) || !s.IsAbout(digest) {
			t.Errorf("%s: %+v, %v", kind, s, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := `{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}`
	for name, tt := range map[string]struct{ kind, data string }{
		"another type of payload": {"application/json", good},
		"another version":         {intoto.PayloadType, strings.Replace(good, "v1", "v0.1", 1)},
		"something after it":      {intoto.PayloadType, good + " {}"},
		"no JSON":                 {intoto.PayloadType, "{"},
		"a list":                  {intoto.PayloadType, "[]"},
	} {
		if _, err := intoto.Parse(tt.kind, []byte(tt.data)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestIsAboutMatchesDigestsOnly(t *testing.T) {
	s := intoto.Statement{Subject: []intoto.Descriptor{
		{Name: digest, Digest: intoto.DigestSet{"sha512": strings.Repeat("ab", 32)}},
		{Name: "app", Digest: intoto.DigestSet{"sha256": strings.Repeat("cd", 32)}},
	}}
	for d, want := range map[string]bool{digest: false, "sha256:" + strings.Repeat("cd", 32): true, "app": false, "": false, "sha256:": false} {
		if got := s.IsAbout(d); got != want {
			t.Errorf("IsAbout(%q) = %t", d, got)
		}
	}
}
