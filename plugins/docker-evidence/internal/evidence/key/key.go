// Package key makes and reads the keys that evidence is signed and verified
// with: ECDSA on P-256, the one kind that every verifier of sigstore bundles
// takes.
//
// It touches no files and asks for no passwords; commands do.
package key

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A Private key signs.
type Private struct{ key *ecdsa.PrivateKey }

// A Public key verifies.
type Public struct {
	key  *ecdsa.PublicKey
	hint string
}

// Generate makes a new key pair and returns both halves as PEM: PKCS #8, without
// a password, and PKIX.
func Generate() (private, public []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generating a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the private key: %w", err)
	}
	public, err = (&Private{k}).Public().PEM()
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), public, nil
}

// ParsePrivate reads a private key from PEM: PKCS #8, SEC 1, or cosign's
// encrypted form, which password opens.
func ParsePrivate(data, password []byte) (*Private, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fault.Hint(errors.New("it is not a PEM file"), "make a key: docker evidence key generate")
	}
	der, kind := block.Bytes, block.Type
	if kind == "ENCRYPTED SIGSTORE PRIVATE KEY" || kind == "ENCRYPTED COSIGN PRIVATE KEY" {
		var err error
		if der, err = encrypted.Decrypt(der, password); err != nil {
			return nil, fault.Hint(fmt.Errorf("opening the encrypted key: %w", err), "set COSIGN_PASSWORD to the key's password")
		}
		kind = "PRIVATE KEY"
	}
	var parsed any
	var err error
	switch kind {
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(der)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(der)
	case "PUBLIC KEY":
		return nil, errors.New("it is a public key; signing needs the private one")
	default:
		return nil, fault.Hint(fmt.Errorf("PEM type %q is not a private key that is read here", kind), "make a key: docker evidence key generate")
	}
	if err != nil {
		return nil, err
	}
	k, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || k.Curve != elliptic.P256() {
		return nil, wrongKind()
	}
	return &Private{k}, nil
}

// ParsePublic reads a public key from PEM (PKIX).
func ParsePublic(data []byte) (*Public, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("it is not a PEM file")
	}
	if block.Type != "PUBLIC KEY" {
		return nil, fault.Hint(fmt.Errorf("PEM type %q is not a public key", block.Type), "give the .pub file of the pair")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	k, ok := parsed.(*ecdsa.PublicKey)
	if !ok || k.Curve != elliptic.P256() {
		return nil, wrongKind()
	}
	return newPublic(k), nil
}

func wrongKind() error {
	return fault.Hint(errors.New("it is not an ECDSA key on P-256"), "make one: docker evidence key generate")
}

// Public returns the public half.
func (p *Private) Public() *Public { return newPublic(&p.key.PublicKey) }

// Sign returns the ASN.1 signature of the SHA-256 of message. It is
// deterministic (RFC 6979): signing the same message again gives the same bytes,
// so that attaching the same evidence again changes nothing.
func (p *Private) Sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	return p.key.Sign(nil, sum[:], crypto.SHA256)
}

// Verify reports whether signature is p's for message.
func (p *Public) Verify(message, signature []byte) bool {
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(p.key, sum[:], signature)
}

// Hint names the key in bundles: the standard base64 of the SHA-256 of its PKIX
// form.
func (p *Public) Hint() string { return p.hint }

// PEM encodes the key.
func (p *Public) PEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(p.key)
	if err != nil {
		return nil, fmt.Errorf("encoding the public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func newPublic(k *ecdsa.PublicKey) *Public {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		panic(err) // a P-256 key that was parsed or made can be encoded
	}
	sum := sha256.Sum256(der)
	return &Public{k, base64.StdEncoding.EncodeToString(sum[:])}
}
