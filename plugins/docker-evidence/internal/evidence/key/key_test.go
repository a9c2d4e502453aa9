package key_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/key"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func TestSignAndVerify(t *testing.T) {
	private, public, err := key.Generate()
	if err != nil {
		t.Fatal(err)
	}
	k, err := key.ParsePrivate(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := key.ParsePublic(public)
	if err != nil {
		t.Fatal(err)
	}
	if k.Public().Hint() != p.Hint() || len(p.Hint()) != 44 {
		t.Errorf("hints %q and %q", k.Public().Hint(), p.Hint())
	}
	one, err := k.Sign([]byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	two, _ := k.Sign([]byte("message"))
	if string(one) != string(two) {
		t.Error("the same message got two signatures")
	}
	if !p.Verify([]byte("message"), one) || p.Verify([]byte("massage"), one) {
		t.Error("verification is wrong")
	}
	_, other, _ := key.Generate()
	if q, _ := key.ParsePublic(other); q.Verify([]byte("message"), one) {
		t.Error("another key verifies")
	}
}

func TestParsePrivateForms(t *testing.T) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(ec)
	sec1, _ := x509.MarshalECPrivateKey(ec)
	public, _ := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	locked, err := encrypted.Encrypt(pkcs8, []byte("password"))
	if err != nil {
		t.Fatal(err)
	}
	large, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p384, _ := x509.MarshalPKCS8PrivateKey(large)
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	ed, _ := x509.MarshalPKCS8PrivateKey(edwards)
	for name, tt := range map[string]struct {
		kind     string
		der      []byte
		password string
		want     string
	}{
		"pkcs8":          {"PRIVATE KEY", pkcs8, "", ""},
		"sec1":           {"EC PRIVATE KEY", sec1, "", ""},
		"cosign":         {"ENCRYPTED SIGSTORE PRIVATE KEY", locked, "password", ""},
		"cosign old":     {"ENCRYPTED COSIGN PRIVATE KEY", locked, "password", ""},
		"wrong password": {"ENCRYPTED SIGSTORE PRIVATE KEY", locked, "", "opening the encrypted key"},
		"public":         {"PUBLIC KEY", public, "", "it is a public key"},
		"p384":           {"PRIVATE KEY", p384, "", "not an ECDSA key on P-256"},
		"ed25519":        {"PRIVATE KEY", ed, "", "not an ECDSA key on P-256"},
		"garbage":        {"PRIVATE KEY", []byte("x"), "", "asn1"},
		"other":          {"OPENSSH PRIVATE KEY", []byte("x"), "", "not a private key that is read here"},
	} {
		t.Run(name, func(t *testing.T) {
			data := pem.EncodeToMemory(&pem.Block{Type: tt.kind, Bytes: tt.der})
			k, err := key.ParsePrivate(data, []byte(tt.password))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := k.Sign([]byte("x")); err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := key.ParsePrivate([]byte("nothing"), nil); err == nil || fault.HintOf(err) == "" {
		t.Errorf("no PEM: %v", err)
	}
	if _, err := key.ParsePublic(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})); err == nil {
		t.Error("a private key passed as a public one")
	}
}
