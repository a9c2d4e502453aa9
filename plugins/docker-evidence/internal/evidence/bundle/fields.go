package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// fields are the names that a bundle signed with a key may have, by the path of
// their object. Objects that are not listed here are not looked into.
var fields = map[string][]string{
	"":                                {"mediaType", "verificationMaterial", "dsseEnvelope"},
	".verificationMaterial":           {"publicKey", "tlogEntries", "timestampVerificationData"},
	".verificationMaterial.publicKey": {"hint"},
	".dsseEnvelope":                   {"payload", "payloadType", "signatures"},
	".dsseEnvelope.signatures":        {"sig", "keyid"},
}

// keyless are names that mark a bundle which is well formed, but not signed with
// a key.
var keyless = map[string]bool{"certificate": true, "x509CertificateChain": true, "messageSignature": true}

// ErrKeyless is what a bundle gives that is signed by a certificate.
var ErrKeyless = errors.New("the bundle is not a statement signed with a key, but has a certificate or a bare signature")

// maxDepth is more than a bundle needs and less than what exhausts the stack.
const maxDepth = 16

func checkFields(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if err := checkValue(d, "", 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("parsing the bundle: something follows it")
	}
	return nil
}

func checkValue(d *json.Decoder, path string, depth int) error {
	if depth > maxDepth {
		return errors.New("parsing the bundle: nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return fmt.Errorf("parsing the bundle: %w", err)
	}
	switch t {
	case json.Delim('{'):
		err = checkObject(d, path, depth)
	case json.Delim('['):
		for d.More() && err == nil {
			err = checkValue(d, path, depth+1)
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	if _, err = d.Token(); err != nil { // the closing bracket
		return fmt.Errorf("parsing the bundle: %w", err)
	}
	return nil
}

func checkObject(d *json.Decoder, path string, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return fmt.Errorf("parsing the bundle: %w", err)
		}
		name, ok := t.(string)
		if !ok {
			return errors.New("parsing the bundle: a field without a name")
		}
		if err := checkName(path, name, seen); err != nil {
			return err
		}
		seen[name] = true
		if err := checkValue(d, path+"."+name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func checkName(path, name string, seen map[string]bool) error {
	if keyless[name] {
		return ErrKeyless
	}
	if seen[name] {
		return fmt.Errorf("parsing the bundle: field %q occurs twice", name)
	}
	known, listed := fields[path]
	if !listed {
		return nil // within log entries or timestamps, which are not used
	}
	for _, k := range known {
		if k == name {
			return nil
		}
	}
	return fmt.Errorf("parsing the bundle: unknown field %q", name)
}
