package cmd

import (
	"fmt"
	"io"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence"
)

// runTable prints a result for people: what was tested, what came of it, where it
// lies.
func runTable(r evidence.Result) func(io.Writer) error {
	return func(w io.Writer) error {
		rec := r.Record
		fmt.Fprintf(w, "Image:\t%s\nPlatform:\t%s\nBase:\t%s@%s\n", printable(r.Subject), printable(rec.Platform), printable(rec.Base.Name), rec.Base.Digest)
		if rec.Manifest != nil {
			fmt.Fprintf(w, "Manifest:\t%s\n", rec.Manifest.ID)
		}
		fmt.Fprintf(w, "Status:\t%s\n", rec.Status)
		if rec.SBOM != nil {
			fmt.Fprintf(w, "SBOM:\t%d packages\n", rec.SBOM.Packages)
		}
		if r.File != "" {
			fmt.Fprintf(w, "Record:\t%s\n", r.File)
		}
		for _, a := range r.Referrers {
			fmt.Fprintf(w, "Attached:\t%s\t%s\n", a.Digest, a.Type)
		}
		fmt.Fprintf(w, "\nSUITE\tSTATUS\tPASS\tFAIL\tERROR\tSECONDS\n")
		for _, s := range rec.Suites {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%.1f\n", s.Name, s.Status, s.Counts.Pass, s.Counts.Fail, s.Counts.Error, float64(s.Millis)/1000)
		}
		return nil
	}
}
