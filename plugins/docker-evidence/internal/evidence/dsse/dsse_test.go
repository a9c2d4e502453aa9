package dsse_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/dsse"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
)

// The example of protocol.md in the DSSE repository.
func TestPAE(t *testing.T) {
	got := string(dsse.PAE("http://example.com/HelloWorld", []byte("hello world")))
	if want := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVerify(t *testing.T) {
	private, _, err := key.Generate()
	if err != nil {
		t.Fatal(err)
	}
	k, err := key.ParsePrivate(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := dsse.Sign(k, "type", []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := e.Verify(k.Public()); err != nil || string(got) != "payload" {
		t.Fatalf("got %q, %v", got, err)
	}
	for name, change := range map[string]func(*dsse.Envelope){
		"payload":        func(e *dsse.Envelope) { e.Payload = []byte("Payload") },
		"type":           func(e *dsse.Envelope) { e.PayloadType = "typE" },
		"no signature":   func(e *dsse.Envelope) { e.Signatures = nil },
		"two signatures": func(e *dsse.Envelope) { e.Signatures = append(e.Signatures, e.Signatures[0]) },
		"key id":         func(e *dsse.Envelope) { e.Signatures = []dsse.Signature{{KeyID: "x", Sig: e.Signatures[0].Sig}} },
		"empty":          func(e *dsse.Envelope) { e.Signatures = []dsse.Signature{{}} },
		// The boundary between type and payload is part of what is signed.
		"moved boundary": func(e *dsse.Envelope) { e.PayloadType, e.Payload = "typ", []byte("epayload") },
	} {
		changed := e
		change(&changed)
		if _, err := changed.Verify(k.Public()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	e.Payload = []byte("other")
	if _, err := e.Verify(k.Public()); !errors.Is(err, dsse.ErrSignature) {
		t.Errorf("err = %v", err)
	}
}

func TestBase64(t *testing.T) {
	for in, want := range map[string]string{
		`"aGk="`: "hi", `"-_8="`: "\xfb\xff", `"+/8="`: "\xfb\xff",
		`"aGl="`: "error", // stray bits
		`"aGk"`:  "error", `"aG k="`: "error", `"aGk=\n"`: "error", `5`: "error",
	} {
		var b dsse.Base64
		err := json.Unmarshal([]byte(in), &b)
		got := string(b)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: got %q (%v), want %q", in, got, err, want)
		}
	}
}
