// Package bed is what a benchmark of images needs around it: two registries and a
// BuildKit of its own, the images, and an engine that pulls them.
package bed
