package daemon

import (
	"strings"
	"testing"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky/tree"
)

func TestRoom(t *testing.T) {
	for _, c := range []struct {
		space tree.Space
		says  string
	}{
		{tree.Space{Bytes: 16 << 10, Inodes: 1000}, "16 KiB are free, and a builder needs 64 MiB"},
		{tree.Space{Bytes: 63 << 20, Inodes: 1000}, "63 MiB are free, and a builder needs 64"},
		{tree.Space{Bytes: 1 << 30, Inodes: 255}, "255 inodes are free, and a builder needs 256"},
		{tree.Space{Bytes: 64 << 20, Inodes: 256}, ""},
		{tree.Space{Bytes: 1 << 30, Inodes: -1}, ""},
		{tree.Space{Bytes: 0, Reserved: 1 << 30, Inodes: 1000}, ""},
	} {
		err := Room(c.space)
		if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%+v: %v", c.space, err)
		}
	}
}
