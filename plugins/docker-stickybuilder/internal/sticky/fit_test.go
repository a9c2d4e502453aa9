package sticky

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A cache of records by the time since their last use, and what it keeps for
// itself.
type fakeCache struct {
	ages  []time.Duration
	own   int64 // bytes that only all removes
	fixed int64
	calls int
}

func (c *fakeCache) measure(context.Context) (int64, error) {
	return c.fixed + c.own + 100*int64(len(c.ages)), nil
}

func (c *fakeCache) prune(_ context.Context, age time.Duration, all bool) (int, error) {
	c.calls++
	var left []time.Duration
	for _, a := range c.ages {
		if a <= age && age > 0 {
			left = append(left, a)
		}
	}
	n := len(c.ages) - len(left)
	c.ages = left
	if all && c.own > 0 {
		c.own = 0
		n++
	}
	return n, nil
}

func TestFit(t *testing.T) {
	for name, c := range map[string]struct {
		cache       fakeCache
		most, after int64
		left        int
		untouched   bool
	}{
		"it fits":                    {fakeCache{ages: []time.Duration{time.Hour, 99 * time.Hour}}, 200, 200, 2, true},
		"the oldest go":              {fakeCache{ages: []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 900 * time.Hour}}, 250, 200, 2, false},
		"one of them is enough":      {fakeCache{ages: []time.Duration{time.Second, time.Minute, 24 * time.Hour}}, 299, 200, 2, false},
		"all of what builds use":     {fakeCache{ages: []time.Duration{time.Millisecond, 2 * time.Millisecond}, own: 50}, 60, 50, 0, false},
		"what it keeps for itself":   {fakeCache{ages: []time.Duration{time.Second}, own: 50}, 20, 0, 0, false},
		"what cannot be removed":     {fakeCache{ages: []time.Duration{time.Second}, fixed: 500}, 300, 500, 0, false},
		"used at the very same time": {fakeCache{ages: []time.Duration{time.Minute, time.Minute, time.Minute}}, 250, 0, 0, false},
	} {
		f := fitting{most: c.most, measure: c.cache.measure, prune: c.cache.prune}
		before, _ := c.cache.measure(t.Context())
		got, after, err := f.fit(t.Context())
		if err != nil || got != before || after != c.after || len(c.cache.ages) != c.left || (c.cache.calls == 0) != c.untouched || c.cache.calls > 120 {
			t.Errorf("%s: %d to %d, %d left after %d calls, %v", name, got, after, len(c.cache.ages), c.cache.calls, err)
		}
	}
}

func TestFitStops(t *testing.T) {
	boom := errors.New("boom")
	f := fitting{most: 1, measure: func(context.Context) (int64, error) { return 5, nil }, prune: func(context.Context, time.Duration, bool) (int, error) { return 0, boom }}
	if before, after, err := f.fit(t.Context()); !errors.Is(err, boom) || before != 5 || after != 5 {
		t.Errorf("%d, %d, %v", before, after, err)
	}
	f.measure = func(context.Context) (int64, error) { return 0, boom }
	if _, _, err := f.fit(t.Context()); !errors.Is(err, boom) {
		t.Error(err)
	}
}
