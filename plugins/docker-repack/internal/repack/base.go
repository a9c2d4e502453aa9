package repack

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// baseLayers returns how many of the source's lowest layers are to stay.
func (r *run) baseLayers(o *original) (int, error) {
	n := r.opts.KeepBase
	if n == KeepBaseAuto {
		if n = guessBase(o.rawConfig); n == 0 {
			return 0, fault.Hint(fmt.Errorf("where the base image of %s ends is not known: no command stands in its history before a layer", o.descriptor.Digest),
				"tell how many layers it has: --keep-base=N")
		}
	}
	if have := len(o.manifest.Layers); n > have {
		return 0, fault.Hint(fmt.Errorf("the image has %d layers, not %d", have, n), "keep fewer: --keep-base=%d", have)
	}
	return n, nil
}

// guessBase returns how many layers the base image has: those before the last CMD
// or ENTRYPOINT of the history that layers follow. Such an instruction does
// nothing but set a default, and mostly ends an image; whoever builds upon it sets
// another after adding layers. 0 means that the history does not tell.
func guessBase(rawConfig []byte) int {
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
		History []struct {
			CreatedBy  string `json:"created_by"`
			EmptyLayer bool   `json:"empty_layer"`
		} `json:"history"`
	}
	if json.Unmarshal(rawConfig, &config) != nil {
		return 0
	}
	layers, last, base := 0, 0, 0
	for _, h := range config.History {
		switch {
		case !h.EmptyLayer:
			base = last
			layers++
		case isDefault(h.CreatedBy):
			last = layers
		}
	}
	if layers != len(config.RootFS.DiffIDs) {
		return 0
	}
	return base
}

// isDefault recognises CMD and ENTRYPOINT as BuildKit and the classic builder
// write them.
func isDefault(createdBy string) bool {
	step := strings.TrimSpace(strings.TrimPrefix(createdBy, "/bin/sh -c #(nop)"))
	return strings.HasPrefix(step, "CMD ") || strings.HasPrefix(step, "ENTRYPOINT ")
}
