// Package markdown writes tables whose source can be read as well.
package markdown

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Table renders rows below a header. The first column is aligned left, the others
// right; missing cells are empty.
func Table(header []string, rows [][]string) string {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], 3, utf8.RuneCountInString(escape(cell)))
		}
	}
	var s strings.Builder
	writeRow(&s, widths, header)
	s.WriteString("|")
	for i, w := range widths {
		if i == 0 {
			s.WriteString(" " + strings.Repeat("-", w) + " |")
		} else {
			s.WriteString(" " + strings.Repeat("-", w-1) + ": |")
		}
	}
	s.WriteString("\n")
	for _, row := range rows {
		writeRow(&s, widths, row)
	}
	return s.String()
}

func writeRow(s *strings.Builder, widths []int, row []string) {
	s.WriteString("|")
	for i, w := range widths {
		cell := ""
		if i < len(row) {
			cell = escape(row[i])
		}
		pad := strings.Repeat(" ", w-utf8.RuneCountInString(cell))
		if i == 0 {
			s.WriteString(" " + cell + pad + " |")
		} else {
			s.WriteString(" " + pad + cell + " |")
		}
	}
	s.WriteString("\n")
}

func escape(cell string) string { return strings.ReplaceAll(cell, "|", `\|`) }

// Ratio renders how often b goes into a, "2.50×"; "" if there is nothing to compare.
func Ratio[N ~int64 | ~float64](a, b N) string {
	if a <= 0 || b <= 0 {
		return ""
	}
	r := float64(a) / float64(b)
	switch {
	case r >= 100:
		return fmt.Sprintf("%.0f×", r)
	case r >= 10:
		return fmt.Sprintf("%.1f×", r)
	}
	return fmt.Sprintf("%.2f×", r)
}

// MB renders bytes in megabytes, 10⁶ bytes; "–" for none.
func MB(bytes int64) string {
	switch m := float64(bytes) / 1e6; {
	case bytes <= 0:
		return "–"
	case m < 10:
		return fmt.Sprintf("%.1f", m)
	default:
		return fmt.Sprintf("%.0f", m)
	}
}

// Seconds renders a duration in seconds; "–" for none.
func Seconds(d time.Duration) string {
	switch s := d.Seconds(); {
	case d <= 0:
		return "–"
	case s < 10:
		return fmt.Sprintf("%.2f", s)
	default:
		return fmt.Sprintf("%.1f", s)
	}
}
