package plan

import (
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

// OverlayAttributes reports whether the tree has attributes that overlay mounts
// take for their own. They say what happens to the layers below: one layer alone
// shows what it holds whatever they say.
func OverlayAttributes(tree *layer.Tree) bool {
	for e := range tree.All() {
		for _, x := range e.Xattrs {
			if strings.HasPrefix(x.Name, "trusted.overlay.") || strings.HasPrefix(x.Name, "user.overlay.") {
				return true
			}
		}
	}
	return false
}
