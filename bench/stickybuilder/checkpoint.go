package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/dockerfactory/dockerfactory/bench/internal/markdown"
	"github.com/dockerfactory/dockerfactory/bench/internal/measure"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/bed"
	"github.com/dockerfactory/dockerfactory/bench/stickybuilder/internal/steps"
)

// A CheckpointRow is what a running build sees of checkpoints in one kind of pool.
type CheckpointRow struct {
	Pool    string          `json:"pool"`
	GB      float64         `json:"gb"`
	Files   int             `json:"files"`
	Commits []time.Duration `json:"commits"`
	Pauses  []time.Duration `json:"pauses"` // as the plugin tells
	Gaps    []time.Duration `json:"gaps"`   // largest of each checkpoint, between two marks of the build
	Usual   time.Duration   `json:"usual"`  // largest while there was no checkpoint
}

// ticks is a step that appends the time to a file every 10 ms, and prints for each second
// the largest gap, in µs, between two marks of which the first lies in that second.
const ticks = `RUN exec bash -c 'exec 3<> <(:); end=$((SECONDS+%d)); last=${EPOCHREALTIME/./}; sec=${last%%??????}; max=0; \
  while ((SECONDS < end)); do read -t 0.01 -u 3; now=${EPOCHREALTIME/./}; echo $now >> /ticks; \
  gap=$((now-last)); ((gap > max)) && max=$gap; last=$now; \
  if [ ${now%%??????} != $sec ]; then echo "gap $sec $max"; sec=${now%%??????}; max=0; fi; done; true'
`

// checkpointGB is the size of the disk of which checkpoints are made.
const checkpointGB = 1

// checkpoints commits while a build runs, on every kind of pool that was chosen.
func checkpoints(ctx context.Context, b *bed.Bed, o options) ([]CheckpointRow, error) {
	var rows []CheckpointRow
	for _, pool := range o.pools {
		if pool == "copy" {
			continue // what takes longer than a second is given up
		}
		row := CheckpointRow{Pool: pool, GB: checkpointGB, Files: checkpointGB * o.files}
		err := withPool(ctx, b, pool, func(p place, disk string) error { return checkpoint(ctx, b, o, p, disk, &row) })
		if err != nil {
			return nil, fmt.Errorf("checkpoints on %s: %w", pool, err)
		}
		rows = append(rows, row)
		b.Log("  %s: %s, of which builds stood still %s; largest gap %s, else %s", pool, round(median(row.Commits)), median(row.Pauses), median(row.Gaps), row.Usual)
	}
	return rows, nil
}

func checkpoint(ctx context.Context, b *bed.Bed, o options, p place, disk string, row *CheckpointRow) error {
	if _, _, err := stickyUp(ctx, b, disk, p.toml, "--max-size", "0"); err != nil {
		return err
	}
	if err := fillDisk(ctx, b, row.Pool, row.GB, row.Files); err != nil {
		return err
	}
	src, err := b.Work("ticking")
	if err != nil {
		return err
	}
	if err := writeFiles(src, map[string]string{"Dockerfile": "FROM " + b.Base + "\n" + fmt.Sprintf(ticks, 8+4*o.repeat)}); err != nil {
		return err
	}
	var said bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		argv := []string{b.Buildx, "build", "--builder", builderName, "--progress", "rawjson", src}
		_, err := measure.Run(ctx, measure.Command{Argv: argv, Env: b.Env(filepath.Join(b.Scratch, "state")), Stderr: &said})
		ended <- err
	}()
	var spans []span
	for range o.repeat {
		select {
		case <-time.After(4 * time.Second):
		case err := <-ended:
			return errors.Join(errors.New("the build ended before the checkpoints"), err)
		}
		var c struct {
			Decision, Reason  string
			PauseMilliseconds int64
		}
		s := span{from: time.Now()}
		u, err := call(ctx, b, &c, "commit", builderName, "--commit", "always", "--max-pause", "1m", "--progress", "quiet")
		s.to = time.Now()
		if err == nil && c.Decision != "commit" {
			err = fmt.Errorf("commit: %s: %s", c.Decision, c.Reason)
		}
		if err != nil {
			return errors.Join(err, <-ended)
		}
		spans = append(spans, s)
		row.Commits, row.Pauses = append(row.Commits, u.Wall), append(row.Pauses, time.Duration(c.PauseMilliseconds)*time.Millisecond)
	}
	if err := <-ended; err != nil {
		return err
	}
	t, err := steps.Read(&said)
	if err != nil {
		return err
	}
	if row.Gaps, row.Usual, err = gaps(t.Output, spans); err != nil {
		return err
	}
	_, err = stickyDown(ctx, b)
	return err
}

type span struct{ from, to time.Time }

// touches tells whether part of the second that begins at unix seconds lies in the span.
func (s span) touches(second int64) bool {
	return second <= s.to.Unix() && second >= s.from.Unix()
}

var gapLine = regexp.MustCompile(`(?m)^gap (\d+) (\d+)\r?$`)

// gaps reads what the ticking step has printed: the largest gap in each of the spans,
// and the largest one in seconds that none of them touches.
func gaps(output string, spans []span) (during []time.Duration, usual time.Duration, err error) {
	during = make([]time.Duration, len(spans))
	for _, m := range gapLine.FindAllStringSubmatch(output, -1) {
		second, err1 := strconv.ParseInt(m[1], 10, 64)
		micro, err2 := strconv.ParseInt(m[2], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, 0, fmt.Errorf("reading gaps: %w", err)
		}
		gap, outside := time.Duration(micro)*time.Microsecond, true
		for i, s := range spans {
			if s.touches(second) {
				during[i], outside = max(during[i], gap), false
			}
		}
		if outside {
			usual = max(usual, gap)
		}
	}
	for i, gap := range during {
		if gap == 0 {
			return nil, 0, fmt.Errorf("reading gaps: the build did not run during checkpoint %d", i+1)
		}
	}
	return during, usual, nil
}

func checkpointsMarkdown(rows []CheckpointRow) string {
	var cells [][]string
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d.Microseconds())/1000) }
	for _, r := range rows {
		largest := time.Duration(0)
		for _, g := range r.Gaps {
			largest = max(largest, g)
		}
		cells = append(cells, []string{
			fmt.Sprintf("%s, %g GB", r.Pool, r.GB), fmt.Sprint(r.Files), markdown.Seconds(median(r.Commits)), ms(median(r.Pauses)), ms(median(r.Gaps)), ms(largest), ms(r.Usual),
		})
	}
	return markdown.Table([]string{"pool on", "files", "commit s", "pause ms, as told", "gap ms, median", "largest", "without a checkpoint"}, cells)
}
