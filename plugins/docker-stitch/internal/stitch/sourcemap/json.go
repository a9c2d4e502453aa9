package sourcemap

// A Map is the JSON form of a source map: runs of rendered lines that stand in
// one file one below the other.
type Map struct {
	// MediaType comes first, so that the file can be told by its beginning.
	MediaType string `json:"mediaType"`
	Manifest  string `json:"manifest"`
	ID        string `json:"id"`
	Runs      []Run  `json:"runs"`
}

// A Run is Count lines of a Dockerfile, the first of which is Rendered, and which
// begin at Line in File. Generated runs have neither.
type Run struct {
	Rendered int    `json:"rendered"`
	Count    int    `json:"count"`
	Kind     Kind   `json:"kind"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Fragment string `json:"fragment,omitempty"`
}

// MediaType names the JSON form.
const MediaType = "application/vnd.dockerfactory.sourcemap.v1+json"

// New returns the map of the lines that were rendered from the named manifest.
func New(manifest, id string, lines []Line) Map {
	m := Map{MediaType: MediaType, Manifest: manifest, ID: id, Runs: []Run{}}
	for i, l := range lines {
		if n := len(m.Runs); n > 0 {
			r := &m.Runs[n-1]
			follows := r.File == l.File && r.Kind == l.Kind && r.Fragment == l.Fragment
			if follows && (l.File == "" || l.Line == r.Line+r.Count) {
				r.Count++
				continue
			}
		}
		m.Runs = append(m.Runs, Run{Rendered: i + 1, Count: 1, Kind: l.Kind, File: l.File, Line: l.Line, Fragment: l.Fragment})
	}
	return m
}
