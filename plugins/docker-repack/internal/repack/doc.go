// Package repack re-lays an image into few, evenly sized, well compressed layers
// whose merged root filesystem is exactly the one that the image had.
//
// [Run] does the job for an image or an index; [Plan] tells what it would do, and
// why; [Compare] tells whether two images are equal. In five lines: every source layer is fetched, checked and read once;
// shared/layer merges the headers into the final tree; the tree is cut into units
// (a file with all its names and all its copies) and the units into layers of
// about the target size; each layer is written, compressed and uploaded; the
// result is read back, compared, and only then named at the destination.
//
// # Two passes, one spool
//
// What a layer stack means is known only when the last header has been read, so
// contents are needed twice. Source layers are gzip or zstd streams, which cannot
// be entered in the middle: reading them again for each output layer would make
// the work grow with layers times layers, and writing all output layers side by
// side would make memory grow with their number. So the first pass, while it
// hashes the contents, also puts them into a spool: zstd frames of up to 1 MiB at the
// fastest level, in one unlinked temporary file, each once however many layers have its
// contents. The second pass reads any
// content by offset, decoding at most two frames more than it needs, from as many
// workers as there are. The frames' sizes are at the same time the estimate that
// the planner needs. The spool is at most about as large as the compressed source, and it
// replaces a copy of the compressed blobs instead of adding to it; the
// uncompressed image is never on disk. Files of a unit lie, and units follow each
// other, in the order of the spool, so that the second pass reads forward, but for
// the few large files that resemble each other and are together for that.
//
// Memory is the tree (headers only), plus a frame and an encoder for each worker.
//
// # What the output depends on
//
// On the source's bytes and the options that shape layers, on nothing else: no
// clock, no number of workers, no order of completion, no kind of processor (what a
// product of an estimate is added to must not be rounded together with it: float64(a*b) + c).
//
// The package knows no command line and no environment.
package repack
