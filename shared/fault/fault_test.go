package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

func TestHintSurvivesWrapping(t *testing.T) {
	cause := errors.New("no such file")
	err := fmt.Errorf("reading lock: %w", fault.Hint(cause, "run %s", "docker stitch lock"))
	if got := fault.HintOf(err); got != "run docker stitch lock" {
		t.Errorf("hint = %q", got)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if got := err.Error(); got != "reading lock: no such file" {
		t.Errorf("message = %q", got)
	}
	if fault.Hint(nil, "x") != nil || fault.At(fault.Position{File: "f"}, nil) != nil {
		t.Error("nil must stay nil")
	}
}

func TestListSortsByPositionAndFlattens(t *testing.T) {
	var inner, l fault.List
	inner.Addf(fault.Position{File: "b.yaml", Line: 2, Column: 1}, "second")
	inner.Addf(fault.Position{File: "a.yaml", Line: 9, Column: 4}, "first")
	l.Add(inner.Err())
	l.Addf(fault.Position{File: "b.yaml", Line: 2, Column: 7}, "third")
	want := "a.yaml:9:4: first\nb.yaml:2:1: second\nb.yaml:2:7: third"
	if got := l.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if l.Len() != 3 {
		t.Errorf("len = %d", l.Len())
	}
	var none fault.List
	if none.Err() != nil {
		t.Error("an empty list is no error")
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"platforms", "template", "fragments", "base"}
	for word, want := range map[string]string{
		"platform": "platforms", "fragmnets": "fragments", "Base": "base", "zzzzzz": "", "cache": "",
	} {
		if got := fault.Nearest(word, keys); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestPositionString(t *testing.T) {
	for want, p := range map[string]fault.Position{
		"f:1:2": {File: "f", Line: 1, Column: 2}, "f:3": {File: "f", Line: 3}, "f": {File: "f", Column: 2},
	} {
		if p.String() != want {
			t.Errorf("got %q want %q", p.String(), want)
		}
	}
}
