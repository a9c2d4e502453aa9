package report

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable quotes a text that would move the cursor or break a table: names of
// files and targets of symlinks are any bytes.
func Printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// Clip makes a text printable on one line of at most n characters.
func Clip(s string, n int) string {
	if len(s) > 4*n { // no rune is longer: the rest is cut off anyhow
		s = strings.ToValidUTF8(s[:4*n], "") + "…"
	}
	runes := []rune(Printable(strings.Join(strings.Fields(s), " ")))
	if len(runes) > n {
		runes = append(runes[:n-1], '…')
	}
	return string(runes)
}
