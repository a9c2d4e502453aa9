package pulltime

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

var fast = Rates{Gzip: 1e18, Zstd: 1e18, Layer: 1}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-3*want+1e-6 {
		t.Errorf("%s: got %f, want %f", what, got, want)
	}
}

func TestSimulate(t *testing.T) {
	link := Link{Bandwidth: 10 / payload}
	one := Profile{Downloads: 1, Unpacks: 1}
	near(t, "a layer takes its size", Simulate([]Layer{{Size: 100}}, one, link, fast).Seconds, 10)
	three := []Layer{{Size: 100}, {Size: 100}, {Size: 100}}
	near(t, "three share the link", Simulate(three, Profiles[0], link, fast).Seconds, 30)
	near(t, "a connection's limit", Simulate(three, one, Link{Bandwidth: 10 / payload, Connection: 5 / payload}, fast).Seconds, 60)
	near(t, "three connections", Simulate(three, Profiles[0], Link{Bandwidth: 100 / payload, Connection: 5 / payload}, fast).Seconds, 20)
	near(t, "round trips", Simulate([]Layer{{Size: 100}}, one, Link{Bandwidth: 10 / payload, RTT: time.Second}, fast).Seconds, 15)
	// Unpacking of the first runs while the second comes.
	slow := Rates{Gzip: 10, Zstd: 20, Layer: 1}
	near(t, "overlap", Simulate([]Layer{{Size: 100, Raw: 100}, {Size: 100, Raw: 100}}, one, link, slow).Seconds, 30)
	near(t, "zstd", Simulate([]Layer{{Size: 100, Raw: 100, Zstd: true}}, one, link, slow).Seconds, 15)
	near(t, "a start", Simulate([]Layer{{Size: 100}}, one, link, Rates{Gzip: 1e18, Zstd: 1e18, Start: 2 * time.Second}).Seconds, 12)
	near(t, "entries", Simulate([]Layer{{Size: 100, Entries: 1000}}, one, link, Rates{Gzip: 1, Zstd: 1, Entry: time.Millisecond}).Seconds, 11)
	four := []Layer{{Size: 1, Raw: 100}, {Size: 1, Raw: 100}, {Size: 1, Raw: 100}, {Size: 1, Raw: 100}}
	quick := Link{Bandwidth: 1e12}
	near(t, "in order", Simulate(four, Profiles[1], quick, slow).Seconds, 40)
	near(t, "side by side", Simulate(four, Profiles[2], quick, slow).Seconds, 10)
	// Three layers, one download at a time, each as long to unpack: 40 in their order, 50 in three
	// other orders, 60 in the two in which the lowest comes last.
	equal := []Layer{{Size: 100, Raw: 100}, {Size: 100, Raw: 100}, {Size: 100, Raw: 100}}
	if got := Simulate(equal, Profile{Downloads: 1, Unpacks: 1, Unordered: true}, link, slow).Seconds; got < 50.7 || got > 52.7 {
		t.Errorf("in any order: got %f, want about 51.7", got)
	}
	if got := Simulate(nil, one, link, fast).Seconds; got != 0 {
		t.Errorf("nothing takes %f", got)
	}
	for want, p := range map[string]Prediction{
		"link":       Simulate(three, Profiles[0], link, fast),
		"connection": Simulate(three, Profiles[0], Link{Bandwidth: 1e6, Connection: 1}, fast),
		"unpack":     Simulate(four, Profiles[0], quick, slow),
	} {
		if p.Bound != want {
			t.Errorf("bound %q, want %q", p.Bound, want)
		}
	}
}

// No pull is faster than its lower bounds, nor slower than doing one thing after
// the other; more bandwidth or workers never hurt an image of even layers.
func TestBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var layers []Layer
		total := 0.0
		for range 1 + rng.IntN(30) {
			l := Layer{Size: rng.Int64N(1e8), Entries: rng.IntN(5000), Zstd: rng.IntN(2) == 0}
			l.Raw = l.Size * 3
			layers = append(layers, l)
			total += float64(l.Size)
		}
		link := Link{Bandwidth: 1e6 + rng.Float64()*1e8, RTT: time.Duration(rng.IntN(50)) * time.Millisecond}
		for _, p := range Profiles {
			got := Simulate(layers, p, link, Rates{})
			low := max(total/link.Bandwidth, got.Unpack/float64(p.Unpacks))
			high := total/(link.Bandwidth*payload) + got.Unpack + float64(len(layers)+greetings+1)*link.RTT.Seconds() + DefaultRates.Start.Seconds() + 1e-6
			if got.Seconds < low || got.Seconds > high {
				t.Fatalf("%s: %f is not within %f and %f", p.Name, got.Seconds, low, high)
			}
		}
	}
}
