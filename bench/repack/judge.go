package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/repack/internal/bed"
)

// equalTrees asks "docker repack verify" whether two images have the same root
// filesystem: "equal", or the number of differing entries.
func equalTrees(ctx context.Context, b *bed.Bed, a, other string) (string, error) {
	var out bytes.Buffer
	_, err := measure.Run(ctx, measure.Command{
		Argv: []string{b.Ours, "verify", "--progress", "quiet", "--format", "json", "docker://" + a, "docker://" + other},
		Env:  b.Env(b.Scratch), Stdout: &out,
	})
	if exit := (*measure.ExitError)(nil); err == nil {
		return "equal", nil
	} else if !errors.As(err, &exit) || exit.Status != 3 {
		return "", err
	}
	return countDifferences(out.Bytes())
}

// outsideJudge unpacks both images with umoci, and has rsync compare the trees:
// contents, modes, owners, times, links, attributes, devices. It returns "equal"
// or the number of entries that rsync would have to change.
func outsideJudge(ctx context.Context, b *bed.Bed, source, other string) (string, error) {
	dir, err := b.Work("judge")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	for name, ref := range map[string]string{"source": source, "other": other} {
		// umoci reads gzip only.
		gz := b.Results.Addr + "/judge/" + name + ":gzip"
		regctl := []string{b.Tool("regctl"), "--host", "reg=" + b.Sources.Addr + ",tls=disabled", "--host", "reg=" + b.Results.Addr + ",tls=disabled"}
		for _, argv := range [][]string{
			append(regctl, "image", "mod", ref, "--layer-compress", "gzip", "--create", gz),
			{"skopeo", "copy", "--quiet", "--src-tls-verify=false", "docker://" + gz, "oci:" + filepath.Join(dir, name) + ":latest"},
			{"umoci", "raw", "unpack", "--image", filepath.Join(dir, name) + ":latest", filepath.Join(dir, name+".tree")},
		} {
			if _, err := measure.Run(ctx, measure.Command{Argv: argv, Env: b.Env(dir)}); err != nil {
				return "", fmt.Errorf("unpacking for the outside judge: %w", err)
			}
		}
		os.RemoveAll(filepath.Join(dir, name))
	}
	var out bytes.Buffer
	_, err = measure.Run(ctx, measure.Command{
		Argv: []string{
			"rsync", "--dry-run", "--archive", "--hard-links", "--acls", "--xattrs", "--checksum", "--numeric-ids", "--delete",
			"--itemize-changes", filepath.Join(dir, "source.tree") + "/", filepath.Join(dir, "other.tree") + "/",
		},
		Stdout: &out,
	})
	if err != nil {
		return "", fmt.Errorf("comparing trees: %w", err)
	}
	if lines := strings.Count(out.String(), "\n"); lines > 0 {
		return fmt.Sprintf("%d differ", lines), nil
	}
	return "equal", nil
}

// countDifferences reads what "verify --format json" prints.
func countDifferences(text []byte) (string, error) {
	var answer struct {
		Differences []struct{ Path, A, B, What string }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", fmt.Errorf("reading what verify answers: %w", err)
	}
	missing, extra, changed := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, d := range answer.Differences {
		switch {
		case d.Path == "":
			changed["(config)"] = true
		case d.What == "entry" && d.B == "":
			missing[d.Path] = true
		case d.What == "entry" && d.A == "":
			extra[d.Path] = true
		default:
			changed[d.Path] = true
		}
	}
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{len(missing), "missing"}, {len(extra), "extra"}, {len(changed), "changed"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", "), nil
}
