package markdown

import (
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	got := Table([]string{"contestant", "s", ""}, [][]string{{"a|b", "10.0", "1.00×"}, {"long enough", "9"}})
	want := `| contestant  |    s |       |
| ----------- | ---: | ----: |
| a\|b        | 10.0 | 1.00× |
| long enough |    9 |       |
`
	if got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

func TestRatio(t *testing.T) {
	for _, c := range []struct {
		a, b float64
		want string
	}{{1, 2, "0.50×"}, {5, 5, "1.00×"}, {123, 10, "12.3×"}, {1234, 10, "123×"}, {0, 1, ""}, {1, 0, ""}} {
		if got := Ratio(c.a, c.b); got != c.want {
			t.Errorf("Ratio(%v, %v) = %q, want %q", c.a, c.b, got, c.want)
		}
	}
	if got := Ratio(3*time.Second, 2*time.Second); got != "1.50×" {
		t.Errorf("Ratio of durations = %q", got)
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{0: "–", 1_250_000: "1.2", 99_600_000: "100", 5_000_000_000: "5000"} {
		if got := MB(n); got != want {
			t.Errorf("MB(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "–", 1234 * time.Millisecond: "1.23", 12340 * time.Millisecond: "12.3"} {
		if got := Seconds(d); got != want {
			t.Errorf("Seconds(%s) = %q, want %q", d, got, want)
		}
	}
}
