package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/moby/buildkit/session"
	engine "github.com/moby/moby/client"

	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/runner"
	bkrunner "github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/runner/buildkit"
	dockerrunner "github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/runner/docker"
	"github.com/dockerfactory/dockerfactory/plugins/docker-evidence/internal/evidence/smoke"
	"github.com/dockerfactory/dockerfactory/shared/buildkit"
	"github.com/dockerfactory/dockerfactory/shared/dockerauth"
	"github.com/dockerfactory/dockerfactory/shared/fault"
	"github.com/dockerfactory/dockerfactory/shared/image"
	"github.com/dockerfactory/dockerfactory/shared/progress"
)

// newRunner connects to what is to run the tests. The function that it returns
// closes the connection.
func newRunner(ctx context.Context, cli command.Cli, o runOptions, t target, p progress.Reporter) (smoke.Runner, func(), error) {
	subject, err := runnerSubject(t)
	if err != nil {
		return nil, nil, err
	}
	kind := o.runner
	var noEngine error
	if kind == "auto" {
		kind = "buildkit"
		if o.builder == "" && subject.Reference != "" {
			if noEngine = engineAnswers(ctx, cli); noEngine == nil {
				kind = "docker"
			}
		}
	}
	if kind == "docker" {
		if o.runner == "docker" {
			if err := engineAnswers(ctx, cli); err != nil {
				return nil, nil, fault.Hint(fmt.Errorf("asking the docker engine: %w", err), "is it running? or use the builder: --runner buildkit")
			}
		}
		auth := func() (string, error) {
			return command.RetrieveAuthTokenFromImage(cli.ConfigFile(), subject.Reference)
		}
		return &dockerrunner.Runner{Engine: cli.Client(), Subject: subject, Auth: auth, Progress: p}, func() {}, nil
	}
	builder, err := buildkit.Find(cli, o.builder)
	if err != nil {
		return nil, nil, err
	}
	client, err := builder.Dial(ctx)
	if err != nil {
		if noEngine != nil && ctx.Err() == nil {
			return nil, nil, fault.Hint(fmt.Errorf("nothing to run the tests on: no engine (%w) and no builder (%w)", noEngine, err),
				"start a builder: docker stickybuilder up; or an engine, and name it with DOCKER_HOST")
		}
		return nil, nil, err
	}
	attachables := []session.Attachable{dockerauth.Session(cli.ConfigFile())}
	return &bkrunner.Runner{Client: client, Subject: subject, Session: attachables, Progress: p}, func() { _ = client.Close() }, nil
}

// engineTimeout is how long an engine may take to answer before the builder is
// used instead.
const engineTimeout = 5 * time.Second

func engineAnswers(ctx context.Context, cli command.Cli) error {
	limited, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	_, err := cli.Client().Ping(limited, engine.PingOptions{})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", engineTimeout)
	}
	return err
}

func runnerSubject(t target) (runner.Subject, error) {
	config, err := t.platform.Image.ConfigFile()
	if err != nil {
		return runner.Subject{}, fmt.Errorf("reading the image's config: %w", err)
	}
	name, err := t.platform.Image.ConfigName()
	if err != nil {
		return runner.Subject{}, fmt.Errorf("reading the image's config: %w", err)
	}
	s := runner.Subject{Manifest: t.platform.Descriptor.Digest, Config: name, Image: config.Config, Platform: t.platform.Platform}
	if ref := t.subject.Reference; ref.Kind == image.Registry {
		s.Reference = ref.Name.Context().Name() + "@" + s.Manifest.String()
	} else {
		s.Layout = ref.Dir
	}
	return s, nil
}
