package testbed

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A source is one package repository as apt is told about it.
type source struct {
	uri        string
	suites     []string
	components []string
}

// hostSources reads the machine's own repositories, in the order of apt.
func hostSources(etcApt string) []source {
	var out []source
	if b, err := os.ReadFile(filepath.Join(etcApt, "sources.list")); err == nil {
		out = append(out, parseList(string(b))...)
	}
	files, _ := filepath.Glob(filepath.Join(etcApt, "sources.list.d", "*"))
	slices.Sort(files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		switch filepath.Ext(f) {
		case ".list":
			out = append(out, parseList(string(b))...)
		case ".sources":
			out = append(out, parseDeb822(string(b))...)
		}
	}
	return out
}

// parseList reads the one-line format of sources.list(5).
func parseList(text string) []source {
	var out []source
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if i, j := strings.Index(line, "["), strings.Index(line, "]"); i >= 0 && j > i {
			line = line[:i] + line[j+1:]
		}
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "deb" {
			continue
		}
		out = append(out, source{uri: f[1], suites: f[2:3], components: f[3:]})
	}
	return out
}

// parseDeb822 reads the stanzas of a .sources file.
func parseDeb822(text string) []source {
	var out []source
	fields := map[string]string{}
	flush := func() {
		enabled := strings.ToLower(strings.TrimSpace(fields["enabled"]))
		if slices.Contains(strings.Fields(fields["types"]), "deb") && enabled != "no" && enabled != "false" {
			for _, uri := range strings.Fields(fields["uris"]) {
				out = append(out, source{uri, strings.Fields(fields["suites"]), strings.Fields(fields["components"])})
			}
		}
		fields = map[string]string{}
	}
	last := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			flush()
		case line[0] == ' ' || line[0] == '\t':
			fields[last] += " " + strings.TrimSpace(line)
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				continue
			}
			last = strings.ToLower(strings.TrimSpace(name))
			fields[last] = strings.TrimSpace(value)
		}
	}
	flush()
	return out
}

// baseSuite is the Debian release of the base image.
const baseSuite = "bookworm"

// A mirror is where the base image's packages come from.
type mirror struct {
	uri     string   // for debootstrap; may hold the host's credentials
	sources []source // for the image; never holds any
}

// chooseMirror takes the Debian archive that the host uses. A host of another
// release or of Ubuntu gives its Debian archive, if it has one, or the public.
func chooseMirror(host []source) mirror {
	m := mirror{uri: "http://deb.debian.org/debian"}
	for _, s := range host {
		if isDebianArchive(s) {
			m.uri = s.uri
			break
		}
	}
	for _, s := range host {
		var suites []string
		for _, suite := range s.suites {
			if suite == baseSuite || suite == baseSuite+"-updates" || suite == baseSuite+"-security" {
				suites = append(suites, suite)
			}
		}
		if len(suites) > 0 && slices.Contains(s.components, "main") && isHTTP(s.uri) {
			m.sources = append(m.sources, source{withoutUser(s.uri), suites, []string{"main"}})
		}
	}
	if !slices.ContainsFunc(m.sources, func(s source) bool { return slices.Contains(s.suites, baseSuite) }) {
		m.sources = []source{{withoutUser(m.uri), []string{baseSuite, baseSuite + "-updates"}, []string{"main"}}}
	}
	return m
}

func isDebianArchive(s source) bool {
	return isHTTP(s.uri) && slices.Contains(s.components, "main") &&
		strings.HasSuffix(strings.TrimRight(s.uri, "/"), "/debian") &&
		slices.ContainsFunc(s.suites, func(suite string) bool { return !strings.ContainsAny(suite, "-/") })
}

func isHTTP(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func withoutUser(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	u.User = nil
	return u.String()
}

// sourcesFile renders the image's debian.sources.
func sourcesFile(sources []source) string {
	var s strings.Builder
	for i, src := range sources {
		if i > 0 {
			s.WriteString("\n")
		}
		s.WriteString("Types: deb\nURIs: " + src.uri + "\nSuites: " + strings.Join(src.suites, " ") +
			"\nComponents: " + strings.Join(src.components, " ") +
			"\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n")
	}
	return s.String()
}
