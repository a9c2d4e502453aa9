package disk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// A Lineage is what a head belongs to.
type Lineage struct {
	Key      string `json:"key"`           // what the user wants to share a cache among
	Platform string `json:"platform"`      // of the builder, such as "linux/amd64"
	Ref      string `json:"ref,omitempty"` // branch, tag or pull request; "" if jobs of all of them share it
}

// Name is KEY@REF, or KEY if there is no ref.
func (l Lineage) Name() string {
	if l.Ref == "" {
		return l.Key
	}
	return l.Key + "@" + l.Ref
}

func (l Lineage) String() string { return l.Name() + " (" + l.Platform + ")" }

// Identity is a text that no two lineages have in common. For a lineage without a
// ref it is what it was before there were refs, so that pools can still be read.
func (l Lineage) Identity() string {
	s := l.Key + "\x00" + l.Platform
	if l.Ref != "" {
		s += "\x00" + l.Ref
	}
	return s
}

// Compare orders lineages by key, ref and platform.
func (l Lineage) Compare(m Lineage) int {
	return strings.Compare(l.Key+"\x00"+l.Ref+"\x00"+l.Platform, m.Key+"\x00"+m.Ref+"\x00"+m.Platform)
}

// maxKey bounds keys and refs, which are shown in tables.
const maxKey = 512

// CheckKey says why key cannot be one. Keys are written as JSON and shown on
// terminals: what does not survive the former or harms the latter is refused.
func CheckKey(key string) error { return check("key", key) }

// CheckRef says why ref cannot be one; "" can.
func CheckRef(ref string) error {
	if ref == "" {
		return nil
	}
	return check("ref", ref)
}

func check(what, text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errors.New("invalid " + what + ": it is empty")
	case len(text) > maxKey:
		return fmt.Errorf("invalid %s %.20q…: %d bytes, and at the most %d are allowed", what, text, len(text), maxKey)
	case text != CleanKey(text):
		return fmt.Errorf("invalid %s %q: it has characters that cannot be printed", what, text)
	}
	return nil
}

// CleanKey makes a key or a ref of any text that is not empty.
func CleanKey(text string) string {
	const mark = '\uFFFD'
	text = strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsGraphic(r) {
			return mark
		}
		return r
	}, strings.ToValidUTF8(text, string(mark)))
	if len(text) <= maxKey {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%s…%x", strings.ToValidUTF8(text[:maxKey-20], ""), sum[:8])
}
