package history

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	controlapi "github.com/moby/buildkit/api/services/control"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func record(ref string, ended time.Duration, code codes.Code, msg string) *controlapi.BuildHistoryRecord {
	r := &controlapi.BuildHistoryRecord{Ref: ref, CreatedAt: timestamppb.New(began), NumCachedSteps: 3, NumTotalSteps: 7}
	if ended > 0 {
		r.CompletedAt = timestamppb.New(began.Add(ended))
	}
	if code != codes.OK {
		r.Error = &rpcstatus.Status{Code: int32(code), Message: msg}
	}
	return r
}

func TestFromRecord(t *testing.T) {
	build := func(o Outcome, seconds float64, msg string) Build {
		return Build{Ref: "r", Outcome: o, CachedSteps: 3, TotalSteps: 7, Seconds: seconds, Error: msg, Started: began}
	}
	for name, c := range map[string]struct {
		in   *controlapi.BuildHistoryRecord
		want Build
	}{
		"running":           {record("r", 0, codes.OK, ""), build(Running, 0, "")},
		"ok":                {record("r", 1500*time.Millisecond, codes.OK, ""), build(OK, 1.5, "")},
		"failed":            {record("r", time.Second, codes.Unknown, "exit code: 7"), build(Failed, 1, "exit code: 7")},
		"failed, no code":   {&controlapi.BuildHistoryRecord{Ref: "r", CompletedAt: timestamppb.New(began), Error: &rpcstatus.Status{Message: "x"}}, Build{Ref: "r", Outcome: Failed, Error: "x"}},
		"cancelled":         {record("r", time.Second, codes.Canceled, "context canceled"), build(Cancelled, 1, "context canceled")},
		"clock set back":    {&controlapi.BuildHistoryRecord{Ref: "r", CreatedAt: timestamppb.New(began), CompletedAt: timestamppb.New(began.Add(-time.Hour))}, Build{Ref: "r", Outcome: OK, Started: began}},
		"error, still runs": {&controlapi.BuildHistoryRecord{Ref: "r", Error: &rpcstatus.Status{Code: 2}}, Build{Ref: "r", Outcome: Running}},
	} {
		if diff := cmp.Diff(c.want, fromRecord(c.in)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

// Build arguments may be secrets, and nothing of them is for reports.
func TestFromRecordKeepsNoArguments(t *testing.T) {
	r := record("r", time.Second, codes.OK, "")
	r.FrontendAttrs = map[string]string{"build-arg:TOKEN": "hunter2", "context": "https://user:hunter2@example.com/a/b.git#main", "target": "prod"}
	b := fromRecord(r)
	if b.Name != "b" || b.Target != "prod" {
		t.Errorf("%+v", b)
	}
	if strings.Contains(strings.Join([]string{b.Name, b.Target, b.Error, b.Ref}, " "), "hunter2") {
		t.Errorf("%+v", b)
	}
}

func TestBuildName(t *testing.T) {
	for _, c := range []struct{ context, filename, want string }{
		{"", "", ""},
		{"", "Dockerfile", ""},
		{"", "app.Dockerfile", "app.Dockerfile"},
		{"/home/me/app", "/home/me/app/Dockerfile", "app"},
		{"/home/me/app/", "sub/web.Dockerfile", "app/web.Dockerfile"},
		{"https://github.com/acme/app.git#main:sub", "Dockerfile", "app"},
		{"https://user:hunter2@example.com", "", "example.com"},
		{"https://example.com/app.tar.gz?X-Amz-Signature=hunter2", "", "app.tar.gz"},
		{"https://user:hunter2@bad host/%zz", "", ""},
		{"docker-image://alpine", "", "alpine"},
		{"/", "", ""},
		{".", "", ""},
		{"a\u202eb", "", "a b"},
		{"evil\x1b[31m\nname", "", "evil [31m name"},
	} {
		if got := buildName(map[string]string{"context": c.context, "filename": c.filename}); got != c.want {
			t.Errorf("%q, %q: %q, want %q", c.context, c.filename, got, c.want)
		}
	}
}

func TestNoCredentialsInErrors(t *testing.T) {
	b := fromRecord(record("r", time.Second, codes.Unknown, `fetching "https://u:hunter2@a.example/x?sig=hunter2&b=1": 403; see https://b.example/why?`))
	if want := `fetching "https://…@a.example/x?…": 403; see https://b.example/why?`; b.Error != want {
		t.Errorf("%s", b.Error)
	}
}

func TestDescribe(t *testing.T) {
	for _, c := range []struct{ had, bake, context, file, want string }{
		{"", "", "/src/app", "/src/app/Dockerfile", "app"},
		{"app", "web", "/src/app", "", "web"},
		{"x.Dockerfile", "", "/src/app", "/src/app/x.Dockerfile", "app/x.Dockerfile"},
		{"app", "", "", "", "app"},
		{"", "", "", "", ""},
	} {
		b := Build{Name: c.had}
		b.Describe(c.bake, c.context, c.file)
		if b.Name != c.want {
			t.Errorf("%+v: %q", c, b.Name)
		}
	}
}

func TestCleanIsBounded(t *testing.T) {
	got := clean(strings.Repeat("ж", 1000))
	if len(got) > maxText+len("…") || !strings.HasSuffix(got, "…") || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestWork(t *testing.T) {
	s := Story{Builds: []Build{
		{Name: "app", Outcome: OK, Computed: 10.0004}, {Name: "app", Target: "test", Outcome: Failed, Computed: 2}, {Name: "app", Outcome: OK, Computed: 1}, {Name: "docs", Outcome: OK},
	}}
	if w := s.Work(); len(w) != 2 || w["app"] != 11 || w["app:test"] != 2 {
		t.Errorf("%v", w)
	}
}
