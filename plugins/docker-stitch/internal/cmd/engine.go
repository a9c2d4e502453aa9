package cmd

import (
	"context"
	"errors"
	"fmt"

	mobyclient "github.com/moby/moby/client"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// engineAnswers returns an error unless the docker engine is up: better before a
// build than after it.
func engineAnswers(ctx context.Context, c mobyclient.APIClient) error {
	if _, err := c.Ping(ctx, mobyclient.PingOptions{}); err != nil {
		return fault.Hint(fmt.Errorf("reaching the docker engine to load the image into: %w", err), "start the engine, or push the image: --push")
	}
	return nil
}

// enginePushes returns an error unless BuildKit in the docker engine can push: it
// does with the containerd image store only, and says nothing otherwise.
func enginePushes(ctx context.Context, c mobyclient.APIClient) error {
	info, err := c.Info(ctx, mobyclient.InfoOptions{})
	if err != nil {
		return fmt.Errorf("reaching the docker engine: %w", err)
	}
	for _, pair := range info.Info.DriverStatus {
		if pair == [2]string{"driver-type", "io.containerd.snapshotter.v1"} {
			return nil
		}
	}
	return fault.Hint(errors.New("the builder of this docker engine cannot push"),
		"use a builder of its own: docker stickybuilder up; or --load the image and docker push it")
}
