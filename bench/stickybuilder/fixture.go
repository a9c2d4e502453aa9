package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/bed"
)

// A fixture is what jobs build.
type fixture struct {
	name  string
	files func(o options, base string) map[string]string
	// first and second are the files that are different in the second job.
	first, second map[string]string
	targets       []string
	// what says in a few words what is built.
	what func(options) string
	// toolchain says that the base has to have Go.
	toolchain bool
}

var fixtures = []fixture{
	{name: "layers", targets: []string{"app"}, what: func(o options) string { return fmt.Sprintf("%d small RUN steps", o.layers) }, files: func(o options, base string) map[string]string {
		return map[string]string{"Dockerfile": manyLayers(base, o.layers)}
	}},
	{name: "big", targets: []string{"app"}, what: func(o options) string { return fmt.Sprintf("one layer of %g GB that does not compress", o.big) }, files: func(o options, base string) map[string]string {
		return map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nRUN head -c %d /dev/urandom > /weights\nRUN stat -c %%s /weights > /size\n", base, int64(o.big*1e9))}
	}},
	{
		name: "caches", targets: []string{"app"}, toolchain: true,
		files: func(_ options, base string) map[string]string {
			return map[string]string{"Dockerfile": cacheMounts(base), "app/go.mod": "module app\n\ngo 1.21\n", "app/main.go": program}
		},
		what: func(options) string {
			return "a Go program on a cache mount; one of its files differs in the second job"
		},
		first:  map[string]string{"app/release.go": "package main\n\nconst release = \"1\"\n"},
		second: map[string]string{"app/release.go": "package main\n\nconst release = \"2\"\n"},
	},
	{name: "bake", targets: []string{"api", "auth", "db", "mail", "web", "worker"}, what: func(options) string { return "bake with six targets on one common stage" }, files: func(_ options, base string) map[string]string {
		return map[string]string{"Dockerfile": sixTargets(base)}
	}},
}

// manyLayers has small steps, as Dockerfiles that have grown over years.
func manyLayers(base string, n int) string {
	var s strings.Builder
	fmt.Fprintf(&s, "FROM %s\n", base)
	for i := range n {
		fmt.Fprintf(&s, "RUN mkdir -p /srv/%d && seq %d > /srv/%d/list && cp /etc/os-release /srv/%d/\n", i, 1000*(i+1), i, i)
	}
	return s.String()
}

// mountSays is what the step with the cache mount prints before the number of files in it.
const mountSays = "files in the cache mount: "

func cacheMounts(base string) string {
	return "FROM " + base + ` AS build
COPY app /app
WORKDIR /app
RUN --mount=type=cache,target=/cache \
    echo "` + mountSays + `$(find /cache -type f | wc -l)" && GOCACHE=/cache GOTOOLCHAIN=local CGO_ENABLED=0 /usr/local/go/bin/go build -o /usr/local/bin/app . && app
FROM scratch
COPY --from=build /usr/local/bin/app /app
`
}

const program = `package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
)

func main() {
	text, _ := json.Marshal(map[string]any{"release": release, "tls": tls.VersionName(tls.VersionTLS13), "ok": http.StatusText(200)})
	fmt.Println(string(text), template.HTMLEscapeString("<app>"))
}
`

func sixTargets(base string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "FROM %s AS common\nRUN seq 300000 > /common\nRUN sha256sum /common > /sum\n", base)
	for i, t := range []string{"api", "auth", "db", "mail", "web", "worker"} {
		fmt.Fprintf(&s, "FROM common AS %s\nRUN seq %d > /%s-1\nRUN gzip -c /common > /%s-2.gz\nRUN mkdir /%s && cp /sum /%s/\nRUN head -c 3000000 /dev/urandom > /%s/data\n", t, i*1000, t, t, t, t, t)
	}
	return s.String()
}

// write puts the fixture and its bake file into dir.
func (f fixture) write(ctx context.Context, b *bed.Bed, o options, dir string) error {
	base := b.Base
	if f.toolchain {
		var err error
		if base, err = b.Toolchain(ctx); err != nil {
			return err
		}
	}
	if err := writeFiles(dir, f.files(o, base)); err != nil {
		return err
	}
	bake, err := f.bake(b.Results.Addr)
	if err != nil {
		return err
	}
	return writeFiles(dir, map[string]string{"docker-bake.json": bake})
}

// bake is a bake file whose targets push to registry.
func (f fixture) bake(registry string) (string, error) {
	type target struct {
		Target string   `json:"target,omitempty"`
		Tags   []string `json:"tags"`
		Output []string `json:"output"`
	}
	targets := map[string]target{}
	for _, t := range f.targets {
		targets[t] = target{Tags: []string{registry + "/" + f.name + "/" + t + ":latest"}, Output: []string{"type=image,push=true"}}
		if len(f.targets) > 1 {
			one := targets[t]
			one.Target = t
			targets[t] = one
		}
	}
	text, err := json.MarshalIndent(map[string]any{"group": map[string]any{"default": map[string]any{"targets": f.targets}}, "target": targets}, "", "  ")
	return string(text), err
}

func writeFiles(dir string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("writing a fixture: %w", err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing a fixture: %w", err)
		}
	}
	return nil
}

func fixtureNamed(name string) int {
	return slices.IndexFunc(fixtures, func(f fixture) bool { return f.name == name })
}
