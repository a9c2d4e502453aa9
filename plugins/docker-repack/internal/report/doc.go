// Package report shows a repack.Analysis to people: as JSON, or as one HTML file
// that needs nothing else. What an image says is shown, never obeyed.
package report
