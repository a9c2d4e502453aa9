// Package dsse signs and verifies DSSE envelopes, version 1.0.2
// (github.com/secure-systems-lab/dsse: protocol.md, envelope.md).
package dsse

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A Signer signs messages.
type Signer interface {
	Sign(message []byte) ([]byte, error)
}

// A Verifier tells whether a signature is good for a message.
type Verifier interface {
	Verify(message, signature []byte) bool
}

// An Envelope is a payload with its signatures.
type Envelope struct {
	Payload     Base64      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []Signature `json:"signatures"`
}

// A Signature is one signature of an envelope. KeyID stays empty in what is
// written here: verifiers of sigstore bundles skip signatures whose key id
// differs from the one they compute themselves.
type Signature struct {
	KeyID string `json:"keyid,omitempty"`
	Sig   Base64 `json:"sig"`
}

// ErrSignature is what an envelope gives that the key has not signed.
var ErrSignature = errors.New("the signature does not fit the key")

// Sign makes an envelope with one signature.
func Sign(s Signer, payloadType string, payload []byte) (Envelope, error) {
	sig, err := s.Sign(PAE(payloadType, payload))
	if err != nil {
		return Envelope{}, fmt.Errorf("signing: %w", err)
	}
	return Envelope{payload, payloadType, []Signature{{Sig: sig}}}, nil
}

// Verify returns the payload if the envelope's only signature is v's, and
// [ErrSignature] if it is not. What is parsed afterwards must be these bytes.
func (e Envelope) Verify(v Verifier) ([]byte, error) {
	if n := len(e.Signatures); n != 1 {
		return nil, fmt.Errorf("the envelope has %d signatures, not one", n)
	}
	if e.Signatures[0].KeyID != "" {
		return nil, errors.New("the signature names a key id, which other verifiers refuse")
	}
	if !v.Verify(PAE(e.PayloadType, e.Payload), e.Signatures[0].Sig) {
		return nil, ErrSignature
	}
	return e.Payload, nil
}

// PAE is the pre-authentication encoding: what is signed.
func PAE(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// Base64 are bytes that JSON holds in base64: written in the standard alphabet,
// read in the standard or the URL-safe one, strictly, so that one value has one
// spelling.
type Base64 []byte

// MarshalJSON implements json.Marshaler.
func (b Base64) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.StdEncoding.EncodeToString(b))
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Base64) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if strings.ContainsAny(s, "\r\n") {
		return errors.New("base64 with line breaks")
	}
	encoding := base64.StdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.URLEncoding
	}
	out, err := encoding.Strict().DecodeString(s)
	if err != nil {
		return err
	}
	*b = out
	return nil
}
