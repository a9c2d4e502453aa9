package repack

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// explainLayer adds to what is wrong with a layer what the user can do about it.
func explainLayer(err error) error {
	var name *layer.NameError
	var link *layer.LinkError
	switch {
	case err == nil || fault.HintOf(err) != "":
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fault.Hint(err, "the image is not there as a whole: copy it again")
	case errors.As(err, &name):
		return fault.Hint(err, "engines refuse such a layer, or write outside of the container: rebuild the image, and mind where it came from")
	case errors.As(err, &link):
		return fault.Hint(err, "the layer is incomplete, or was made for other layers than the ones below it: rebuild the image")
	case errors.Is(err, layer.ErrSymlinks):
		return fault.Hint(err, "the symlinks lead in a circle, so that nothing can be unpacked below them: rebuild the image")
	case errors.Is(err, layer.ErrEntryType):
		return fault.Hint(err, "engines refuse such an entry, or leave it out: rebuild the image with a tool that writes files, directories, links, devices and fifos only")
	case errors.Is(err, layer.ErrTooLarge):
		return fault.Hint(err, "no image needs as much: mind where it came from, and do not unpack it")
	case errors.Is(err, ErrDigest):
		return fault.Hint(err, "the image was put together from parts that do not belong together: rebuild it")
	case notATar(err):
		return fault.Hint(err, "the blob has the right digest, but is no whole tar archive, plain or with gzip or zstd: rebuild the image")
	}
	return err
}

func notATar(err error) bool {
	for _, known := range []error{
		tar.ErrHeader, tar.ErrFieldTooLong, io.ErrUnexpectedEOF, gzip.ErrHeader, gzip.ErrChecksum,
		zstd.ErrMagicMismatch, zstd.ErrCRCMismatch, zstd.ErrWindowSizeExceeded, zstd.ErrUnknownDictionary,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
