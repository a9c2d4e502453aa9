package cmd

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/shared/image"
)

// completeImages completes up to n image references: the schemes, and the paths of
// those that lead to a directory or a file.
func completeImages(n int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		scheme, path, found := strings.Cut(toComplete, "://")
		if !found {
			var out []cobra.Completion
			for _, s := range image.Schemes {
				if strings.HasPrefix(s, toComplete) {
					out = append(out, s)
				}
			}
			return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		}
		switch scheme {
		case "oci", "oci-archive", "docker-archive":
			return completePaths(scheme+"://", path, scheme == "oci"), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// completePaths lists what a path may go on with: directories, and tar files unless
// only directories are meant.
func completePaths(prefix, path string, directories bool) []cobra.Completion {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return nil
	}
	var out []cobra.Completion
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || (base == "" && strings.HasPrefix(name, ".")) {
			continue
		}
		switch info, err := os.Stat(filepath.Join(dir, name)); {
		case err != nil:
		case info.IsDir():
			out = append(out, prefix+dir+name+"/")
		case !directories && strings.Contains(name, ".t"):
			out = append(out, prefix+dir+name)
		}
	}
	return out
}
