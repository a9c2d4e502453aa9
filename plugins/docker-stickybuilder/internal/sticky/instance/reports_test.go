package instance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReportsAreBounded(t *testing.T) {
	s := State(t.TempDir())
	if files, err := s.Reports("a"); err != nil || len(files) != 0 {
		t.Errorf("none yet: %v, %v", files, err)
	}
	for n := range KeptReports + 5 {
		if err := s.KeepReport("a", fmt.Sprintf("20260102T0304%02dZ-000000000000", n), n); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.KeepReport("b", "20260102T030400Z-000000000000", 1); err != nil {
		t.Fatal(err)
	}
	// What a crash in the middle of writing leaves is no report.
	if err := os.WriteFile(filepath.Join(string(s), "reports/a/.tmp-x.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := s.Reports("a")
	if err != nil || len(files) != KeptReports || !strings.Contains(files[0], "T030424Z") || !strings.Contains(files[KeptReports-1], "T030405Z") {
		t.Errorf("%v, %v", files, err)
	}
	if names, err := s.Reported(); err != nil || fmt.Sprint(names) != "[a b]" {
		t.Errorf("%v, %v", names, err)
	}
}
