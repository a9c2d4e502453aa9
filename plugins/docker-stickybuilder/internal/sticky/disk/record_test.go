package disk

import "testing"

func TestFallback(t *testing.T) {
	bad := &Bad{Reason: "x"}
	record := func(id, parent string, b *Bad) Record {
		return Record{Generation: Generation{ID: id, Parent: parent}, Bad: b}
	}
	for name, c := range map[string]struct {
		records []Record
		from    string
		want    string
	}{
		"the parent":               {[]Record{record("1", "", nil), record("2", "1", nil), record("3", "1", nil)}, "3", "1"},
		"past a bad parent":        {[]Record{record("1", "", nil), record("2", "1", bad), record("3", "2", bad)}, "3", "1"},
		"the parent was collected": {[]Record{record("2", "1", nil), record("4", "3", nil)}, "4", "2"},
		"only bad ones":            {[]Record{record("1", "", bad), record("2", "1", nil)}, "2", ""},
		"nothing newer":            {[]Record{record("1", "", nil), record("2", "1", nil)}, "1", ""},
		"nothing":                  {nil, "1", ""},
		"no head: the newest":      {[]Record{record("1", "", nil), record("2", "1", nil), record("3", "2", bad)}, "~", "2"},
		"descriptions in circles":  {[]Record{record("1", "2", bad), record("2", "1", bad), record("3", "3", nil)}, "3", ""},
		"a parent from the future": {[]Record{record("1", "2", nil), record("2", "", nil)}, "1", ""},
	} {
		if got := Fallback(c.records, c.from); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
