package bundle_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/bundle"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
)

func newKey(t testing.TB) *key.Private {
	t.Helper()
	pem, _, err := key.Generate()
	if err != nil {
		t.Fatal(err)
	}
	k, err := key.ParsePrivate(pem, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func check(data []byte, k *key.Public) (string, error) {
	b, err := bundle.Parse(data)
	if err != nil {
		return "", err
	}
	_, payload, err := b.Verify(k)
	return string(payload), err
}

func TestRoundTrip(t *testing.T) {
	k := newKey(t)
	data, err := bundle.Sign(k, "application/vnd.in-toto+json", []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := check(data, k.Public()); err != nil || got != `{"a":1}` {
		t.Errorf("got %q, %v", got, err)
	}
	if again, _ := bundle.Sign(k, "application/vnd.in-toto+json", []byte(`{"a":1}`)); !bytes.Equal(data, again) {
		t.Error("signing again gave other bytes")
	}
	if _, err := check(data, newKey(t).Public()); !errors.Is(err, bundle.ErrKey) {
		t.Errorf("another key: %v", err)
	}
}

// Every change of a byte must be noticed, in the envelope and around it.
func TestEveryFlippedBitIsRejected(t *testing.T) {
	k := newKey(t)
	payload := []byte(`{"_type":"https://in-toto.io/Statement/v1","n":1}`)
	data, err := bundle.Sign(k, "application/vnd.in-toto+json", payload)
	if err != nil {
		t.Fatal(err)
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for i := 0; i < len(data); i += step {
		for bit := range 8 {
			changed := bytes.Clone(data)
			changed[i] ^= 1 << bit
			if got, err := check(changed, k.Public()); err == nil {
				t.Errorf("byte %d, bit %d: accepted %q as %q", i, bit, changed, got)
			}
		}
	}
	for n := range len(data) {
		if _, err := check(data[:n], k.Public()); err == nil {
			t.Errorf("cut at %d: accepted", n)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good, err := bundle.Sign(newKey(t), "t", []byte("p"))
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) string { return strings.Replace(string(good), old, new, 1) }
	for name, data := range map[string]string{
		"empty":          "",
		"other version":  replace("v0.3+json", "v0.4+json"),
		"unknown field":  replace(`{"mediaType"`, `{"x":1,"mediaType"`),
		"twice":          replace(`{"mediaType"`, `{"mediaType":"a","mediaType"`),
		"other case":     replace(`"payload":`, `"Payload":`),
		"trailing":       string(good) + "{}",
		"certificate":    replace(`"publicKey"`, `"certificate"`),
		"nested deeply":  replace(`"publicKey":{`, `"tlogEntries":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`,"publicKey":{`),
		"not an object":  "[]",
		"null signature": replace(`"signatures":[`, `"signatures":[null,`),
	} {
		b, err := bundle.Parse([]byte(data))
		if err == nil {
			_, _, err = b.Verify(newKey(t).Public())
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		if name == "certificate" && !errors.Is(err, bundle.ErrKeyless) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := bundle.Parse([]byte(replace(`"publicKey":{`, `"tlogEntries":[{"logIndex":"1"}],"publicKey":{`))); err != nil {
		t.Errorf("log entries beside a key: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	k := newKey(f)
	good, err := bundle.Sign(k, "t", []byte("p"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`))
	f.Add([]byte(`{"verificationMaterial":{"certificate":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := check(data, k.Public())
		if err == nil && got != "p" {
			t.Errorf("accepted %q, which nobody signed", got)
		}
	})
}
