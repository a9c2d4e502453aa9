package cmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch"
	"github.com/dockerfactory/dockerfactory/plugins/docker-stitch/internal/stitch/factory"
	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// defaultFile is the manifest file of a project that names no other.
const defaultFile = "stitch.yaml"

// projectFlags say where the manifests are.
type projectFlags struct {
	file   string
	name   string
	layout factory.Layout
}

func (p *projectFlags) addTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&p.file, "file", "f", "", `Manifest file; its directory is the build context (default "stitch.yaml")`)
	f.StringVar(&p.name, "manifest-id", "", "Name of the manifest, as an alternative to the argument")
	f.StringVar(&p.layout.Store, "manifest-store", "", fmt.Sprintf("Manifest store of a Factory checkout (default %q)", factory.DefaultStore))
	f.StringVar(&p.layout.Modules, "modules", "", fmt.Sprintf("Directory of a Factory checkout's modules (default %q)", factory.DefaultModules))
	f.StringVar(&p.layout.Templates, "templates", "", fmt.Sprintf("Directory of a Factory checkout's templates (default %q)", factory.DefaultTemplates))
	_ = cmd.RegisterFlagCompletionFunc("manifest-id", p.complete)
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	_ = cmd.MarkFlagFilename("manifest-store", "json")
	_ = cmd.MarkFlagDirname("modules")
	_ = cmd.MarkFlagDirname("templates")
}

// manifest returns the name given as argument or flag, "" if neither is.
func (p *projectFlags) manifest(args []string) (string, error) {
	if len(args) > 0 && p.name != "" && args[0] != p.name {
		return "", cliplugin.Usage(fmt.Errorf("two manifests named, %s and --manifest-id %s", args[0], p.name))
	}
	if len(args) > 0 {
		return args[0], nil
	}
	return p.name, nil
}

func (p *projectFlags) foreign() bool {
	return p.layout != factory.Layout{}
}

// open opens the project that the flags name or, without any, the one in the
// current directory: stitch.yaml before a Factory checkout.
func (p *projectFlags) open() (*stitch.Project, error) {
	switch {
	case p.file != "" && p.foreign():
		return nil, cliplugin.Usage(errors.New("--file goes with none of --manifest-store, --modules, --templates"))
	case p.foreign():
		return p.openFactory()
	case p.file != "":
		return openNative(p.file)
	}
	if exists(defaultFile) {
		return openNative(defaultFile)
	}
	if exists(factory.DefaultStore) {
		return p.openFactory()
	}
	return nil, fault.Hint(fmt.Errorf("there is neither %s nor %s here", defaultFile, factory.DefaultStore),
		"change to the project's directory, or name the file: --file path/to/stitch.yaml")
}

func openNative(file string) (*stitch.Project, error) {
	dir := filepath.Dir(file)
	return stitch.OpenNative(dir, dir, filepath.Base(file))
}

// openFactory takes as root of the checkout what stands before the usual place of
// the store, or else the current directory.
func (p *projectFlags) openFactory() (*stitch.Project, error) {
	layout, dir := p.layout, "."
	if layout.Store != "" {
		usual := string(filepath.Separator) + filepath.FromSlash(factory.DefaultStore)
		if root, ok := strings.CutSuffix(filepath.Clean(layout.Store), usual); ok {
			dir = filepath.Clean(root + string(filepath.Separator))
		}
	}
	for _, place := range []*string{&layout.Store, &layout.Modules, &layout.Templates} {
		if *place == "" {
			continue
		}
		rel, err := below(dir, *place)
		if err != nil {
			return nil, err
		}
		*place = rel
	}
	return stitch.OpenFactory(dir, dir, layout)
}

// below returns path relative to dir, which it must lie in.
func below(dir, path string) (string, error) {
	base, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(base, full)
	if err != nil || !filepath.IsLocal(rel) {
		return "", fault.Hint(fmt.Errorf("%s is not in %s, the root of the checkout", path, base), "change to the root of the checkout")
	}
	return filepath.ToSlash(rel), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// complete offers the names of manifests.
func (p *projectFlags) complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	project, err := p.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer project.Close()
	return project.Set.Names(), cobra.ShellCompDirectiveNoFileComp
}

// completeOne offers names for the first argument only.
func (p *projectFlags) completeOne(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.complete(cmd, args, word)
}
