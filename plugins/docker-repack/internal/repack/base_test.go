package repack

import "testing"

func TestGuessBase(t *testing.T) {
	for name, tt := range map[string]struct {
		history string
		want    int
	}{
		"classic":             {`{"created_by":"/bin/sh -c #(nop) ADD file"},{"created_by":"/bin/sh -c #(nop)  CMD [\"bash\"]","empty_layer":true},{"created_by":"RUN"}`, 1},
		"buildkit":            {`{"created_by":"ADD"},{"created_by":"RUN"},{"created_by":"CMD [\"python3\"]","empty_layer":true},{"created_by":"COPY"},{"created_by":"CMD [\"app\"]","empty_layer":true}`, 2},
		"a base upon a base":  {`{"created_by":"ADD"},{"created_by":"CMD [\"sh\"]","empty_layer":true},{"created_by":"RUN"},{"created_by":"ENTRYPOINT [\"x\"]","empty_layer":true},{"created_by":"COPY"}`, 2},
		"no default":          {`{"created_by":"ADD"},{"created_by":"COPY"}`, 0},
		"default at the end":  {`{"created_by":"ADD"},{"created_by":"COPY"},{"created_by":"CMD [\"x\"]","empty_layer":true}`, 0},
		"command in a script": {`{"created_by":"RUN CMD x"},{"created_by":"COPY"}`, 0},
		"more than there is":  {`{"created_by":"ADD"},{"created_by":"CMD [\"x\"]","empty_layer":true},{"created_by":"COPY"},{"created_by":"COPY"},{"created_by":"COPY"}`, 0},
	} {
		diffs := map[string]string{"a base upon a base": `"1","2","3"`, "buildkit": `"1","2","3"`}[name]
		if diffs == "" {
			diffs = `"1","2"`
		}
		if got := guessBase([]byte(`{"rootfs":{"diff_ids":[` + diffs + `]},"history":[` + tt.history + `]}`)); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}
