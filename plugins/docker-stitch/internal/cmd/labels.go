package cmd

import (
	"context"
	"fmt"

	"github.com/docker/cli/cli/command"

	"github.com/dockerfactory/dockerfactory/shared/cliplugin"
	"github.com/dockerfactory/dockerfactory/shared/dockerauth"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/wire"
)

// imageLabels returns the labels of an image. The images of an index must agree
// on what they were made from.
func imageLabels(ctx context.Context, cli command.Cli, subject string) (map[string]string, error) {
	ref, err := image.Parse(subject)
	if err != nil {
		return nil, err
	}
	s, err := image.Resolve(ctx, ref, image.Options{
		Keychain: dockerauth.Keychain(cli.ConfigFile()), UserAgent: "dockerfactory/" + cliplugin.Version(), Engine: cli.Client(),
	})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	images, err := image.Platforms(s)
	if err != nil {
		return nil, err
	}
	var labels map[string]string
	for i, img := range images {
		config, err := img.Image.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("reading config of %s: %w", subject, err)
		}
		if i > 0 && labels[wire.LabelManifestID] != config.Config.Labels[wire.LabelManifestID] {
			return nil, fmt.Errorf("%s has images of different manifest ids: %s and %s", subject, images[0].Platform, img.Platform)
		}
		labels = config.Config.Labels
	}
	return labels, nil
}
