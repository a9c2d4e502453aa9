package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
)

// profile is that of the engine which pulls: dockerd with containerd's image store.
const profile = "containerd"

// predict asks "docker repack pull-time" how long a pull over a link without delay
// takes an engine of such rates.
func predict(ctx context.Context, b *bed.Bed, ref string, mbps int64, rates Rates) (time.Duration, error) {
	var out bytes.Buffer
	argv := []string{b.Ours, "pull-time", "--deep", "--rtt", "0s", "--bandwidth", fmt.Sprintf("%dMbit", mbps), "--progress", "quiet", "--format", "json", "docker://" + ref}
	_, err := measure.Run(ctx, measure.Command{
		Argv: append(argv, rates.flags()...),
		Env:  b.Env(b.Scratch), Stdout: &out,
	})
	if err != nil {
		return 0, fmt.Errorf("predicting a pull: %w", err)
	}
	return predicted(out.Bytes())
}

// predicted reads what "pull-time --format json" prints.
func predicted(text []byte) (time.Duration, error) {
	var answer struct {
		Images []struct {
			Times []struct {
				Profile string
				Seconds float64
			}
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, fmt.Errorf("reading a prediction: %w", err)
	}
	for _, image := range answer.Images {
		for _, t := range image.Times {
			if t.Profile == profile {
				return time.Duration(t.Seconds * float64(time.Second)), nil
			}
		}
	}
	return 0, errors.New("reading a prediction: it has none for " + profile)
}
