package summary

import (
	"fmt"
	"strings"
	"unicode"
)

// maxText bounds one cell.
const maxText = 1000

// inert are the punctuation characters that mean nothing to Markdown within a line of
// text, wherever they stand.
const inert = " ,-+=/()%;?"

// Escape makes Markdown that shows s as it is, on one line: no markup, no HTML, no
// link, no mention. Letters and digits stay; other ASCII characters become entities,
// unless they are inert, which the GitHub Flavored Markdown Spec, 6.2, never takes for
// structure. What cannot be seen is replaced.
func Escape(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	var b strings.Builder
	text := []rune(s)
	for i, r := range text {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case !unicode.IsGraphic(r): // direction overrides among them
			b.WriteRune(unicode.ReplacementChar)
		case r > unicode.MaxASCII, unicode.IsLetter(r), unicode.IsDigit(r), strings.ContainsRune(inert, r),
			r == '.' && !strings.EqualFold(string(text[max(0, i-3):i]), "www"),
			r == ':' && (i+1 == len(text) || text[i+1] != '/'):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "&#%d;", r)
		}
	}
	return b.String()
}
