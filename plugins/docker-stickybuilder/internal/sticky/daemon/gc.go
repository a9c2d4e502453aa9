package daemon

import (
	"strconv"

	"github.com/pelletier/go-toml/v2"
)

// SetsGC reports whether the user's configuration has an opinion on garbage
// collection, which then wins.
func SetsGC(user []byte) bool {
	tree := table{}
	return toml.Unmarshal(user, &tree) == nil && setsGC(tree)
}

func setsGC(tree table) bool {
	for _, key := range []string{"gc", "gckeepstorage", "reservedSpace", "maxUsedSpace", "minFreeSpace", "gcpolicy"} {
		if _, ok := tree.get("worker", "oci", key); ok {
			return true
		}
	}
	return false
}

// trimHistory has records of builds removed that are older than a day, as soon as
// there are more than 50, unless the user's file says something about it. They ride
// along on the disk, with their logs and traces.
func trimHistory(tree table) {
	if _, ok := tree.get("history", "maxAge"); !ok {
		tree.set(int64(24*60*60), "history", "maxAge")
	}
}

// stickyGC replaces BuildKit's default policy, under which cache mounts are lost
// after two days without a build, a weekend, once all of the cache holds more than
// 512 MB. Here it is a month, and four fifths of the bound. What is easily fetched
// again goes first; of all else what was not used for the longest time.
//
// BuildKit counts less than the filesystem does, so its bound is a little lower.
// What is left is pruned before the commit.
func stickyGC(bound int64) []table {
	bytes := func(n int64) string { return strconv.FormatInt(n, 10) }
	limit := func(t table) table {
		t["minFreeSpace"] = "5%"
		if bound > 0 {
			t["reservedSpace"], t["maxUsedSpace"] = bytes(bound/5), bytes(bound/10*9)
		} else {
			t["reservedSpace"] = "10GB"
		}
		return t
	}
	sources, mounts := int64(512e6), int64(20<<30)
	if bound > 0 {
		sources, mounts = min(sources, bound/10), bound/5*4
	}
	return []table{
		{"filters": []string{"type==source.local", "type==source.git.checkout"}, "keepDuration": "48h", "maxUsedSpace": bytes(sources)},
		{"filters": []string{"type==exec.cachemount"}, "keepDuration": "720h", "maxUsedSpace": bytes(mounts)},
		limit(table{"keepDuration": "1440h"}),
		limit(table{}),
		limit(table{"all": true}),
	}
}
