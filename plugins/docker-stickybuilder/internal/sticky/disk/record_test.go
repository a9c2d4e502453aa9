package disk

import (
	"testing"
	"time"
)

func TestFallback(t *testing.T) {
	bad := &Bad{Reason: "x"}
	// The first digit of an id is the second in which it was made.
	record := func(id, parent string, b *Bad) Record {
		created := time.Date(2026, 1, 2, 3, 4, int(id[0]-'0'), 0, time.UTC)
		return Record{Generation: Generation{ID: id, Parent: parent, Created: created}, Bad: b}
	}
	for name, c := range map[string]struct {
		records []Record
		from    string
		want    string
	}{
		"the parent":              {[]Record{record("1", "", nil), record("2", "1", nil), record("3", "1", nil)}, "3", "1"},
		"past a bad parent":       {[]Record{record("1", "", nil), record("2", "1", bad), record("3", "2", bad)}, "3", "1"},
		"the parent was removed":  {[]Record{record("1", "", nil), record("2", "1", nil), record("4", "3", nil)}, "4", "2"},
		"only bad ones":           {[]Record{record("1", "", bad), record("2", "1", nil)}, "2", ""},
		"nothing that is older":   {[]Record{record("1", "", nil), record("2", "1", nil)}, "1", ""},
		"nothing":                 {nil, "1", ""},
		"no head: the newest":     {[]Record{record("1", "", nil), record("2", "1", nil), record("3", "2", bad)}, "~", "2"},
		"descriptions in circles": {[]Record{record("1", "2", bad), record("2", "1", bad), record("3", "3", nil)}, "3", ""},
		"in the same second":      {[]Record{record("1a", "1b", nil), record("1b", "", nil)}, "1a", "1b"},
	} {
		if got := Fallback(c.records, c.from); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
