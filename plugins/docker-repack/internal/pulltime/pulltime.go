// Package pulltime predicts how long an engine takes to pull and unpack an image,
// by simulation of its downloads and its unpacking.
//
// It is pure: layers and a link go in, seconds come out. Its rates are defaults
// for one core of a server of today and a local disk; who has measured others puts
// them in.
package pulltime

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A Layer is what of a layer decides about its time.
type Layer struct {
	Size    int64 // compressed bytes
	Raw     int64 // bytes of the tar stream
	Entries int
	Zstd    bool // else gzip
}

// A Profile is how an engine works.
type Profile struct {
	Name      string
	Downloads int // layers that are downloaded at a time
	Unpacks   int // layers that are unpacked at a time; one alone means in their order
	// Unordered says that nobody knows which layers come first: all are asked for at
	// once and wait for their turn to download as the engine's scheduler has it.
	Unordered bool
}

// Profiles are the engines' defaults: dockerd's max-concurrent-downloads is 3, and
// it unpacks in order (daemon/config and layer/layer_store of moby); so does
// containerd by default (plugins/transfer of containerd 2), which from 2.2 on can
// unpack several at a time. "dockerd" is the engine with image stores of its own,
// which downloads in order; with containerd's store it is "containerd", which since 2.1
// has the limit below the layers' handlers (core/remotes/docker/resolver.go).
var Profiles = []Profile{
	{"dockerd", 3, 1, false},
	{"containerd", 3, 1, true},
	{"containerd-parallel", 3, 4, true},
}

// A Link is the way between registry and engine.
type Link struct {
	Bandwidth  float64       // bytes/s
	Connection float64       // bytes/s that one connection gets at most; 0 for no limit
	RTT        time.Duration // round trip
}

// Rates are what an engine on some machine takes, beside waiting for the link. The
// zero value means [DefaultRates].
//
// They stand for all that the machine does: its processors, its disk, and what
// else keeps them busy. A machine at half its speed has half the rates and
// twice the times. bench/repack measures them by pulling images of one layer, of
// many entries and of many layers.
type Rates struct {
	Gzip, Zstd float64       // bytes/s of tar stream that one unpacking decodes and writes
	Entry      time.Duration // to make a file, directory or link, and to count it at the end
	Layer      time.Duration // to store a blob, and to begin and commit a layer: what waits for the disk
	Start      time.Duration // of a pull without layers: the client, the engine, the documents, the name
}

// DefaultRates are those of docs/design/007-layer-planning.md.
var DefaultRates = Rates{Gzip: 170e6, Zstd: 300e6, Entry: 45 * time.Microsecond, Layer: 8 * time.Millisecond, Start: 30 * time.Millisecond}

const (
	// payload is the part of a link's bandwidth that is left for content: 1448 of
	// the 1514 bytes of an Ethernet frame, less what HTTP and TLS add.
	payload = 0.95
	// greetings is how many round trips go before the first layer: the token, the
	// tag, the manifest, the config.
	greetings = 4
)

// A Prediction is the outcome of a simulation.
type Prediction struct {
	Seconds  float64 `json:"seconds"`
	Download float64 `json:"downloadSeconds"` // until the last layer is there
	Unpack   float64 `json:"unpackSeconds"`   // of all layers, one after the other
	// Bound is what takes the most of the time: "link", "connection" or "unpack".
	Bound string `json:"bound"`
}

// orders is how many orders of downloads are tried where nobody knows theirs: the mean
// of as many is within a hundredth of that of all.
const orders = 200

// Simulate pulls an image. Layers are downloaded in their order, or else in many orders
// of which the outcome is the mean, as many at a time as the profile says; those under
// way share the link evenly.
func Simulate(layers []Layer, p Profile, link Link, rates Rates) Prediction {
	if rates == (Rates{}) {
		rates = DefaultRates
	}
	order := make([]int, len(layers))
	for i := range order {
		order[i] = i
	}
	var out Prediction
	if p.Unordered && len(layers) > p.Downloads {
		rng := rand.New(rand.NewPCG(1, 1)) // the same for all images, so that they can be compared
		for range orders {
			rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			one := simulate(layers, order, p, link, rates)
			out.Seconds += one.Seconds / orders
			out.Download += one.Download / orders
			out.Unpack = one.Unpack
		}
	} else {
		out = simulate(layers, order, p, link, rates)
	}
	out.Bound = bound(layers, p, link, out)
	return out
}

func simulate(layers []Layer, order []int, p Profile, link Link, rates Rates) (out Prediction) {
	there := download(layers, order, max(p.Downloads, 1), link)
	workers := make([]float64, max(p.Unpacks, 1))
	for i, l := range layers {
		cost := rates.unpack(l)
		out.Unpack += cost
		w := 0
		for k := range workers {
			if workers[k] < workers[w] {
				w = k
			}
		}
		workers[w] = max(workers[w], there[i]) + cost
		out.Download = max(out.Download, there[i])
	}
	out.Seconds = max(slices.Max(workers), greetings*link.RTT.Seconds()) + rates.Start.Seconds()
	return out
}

func (r Rates) unpack(l Layer) float64 {
	rate := r.Gzip
	if l.Zstd {
		rate = r.Zstd
	}
	return float64(l.Raw)/rate + float64(l.Entries)*r.Entry.Seconds() + r.Layer.Seconds()
}

// bound names the largest of the lower bounds on the time.
func bound(layers []Layer, p Profile, link Link, out Prediction) string {
	var total, largest float64
	for _, l := range layers {
		total += float64(l.Size)
		largest = max(largest, float64(l.Size))
	}
	byLink, byConnection := total/(link.Bandwidth*payload), 0.0
	if link.Connection > 0 {
		byConnection = max(largest, total/float64(max(p.Downloads, 1))) / (link.Connection * payload)
	}
	byUnpack := out.Unpack / float64(max(p.Unpacks, 1))
	switch max(byLink, byConnection, byUnpack) {
	case byLink:
		return "link"
	case byConnection:
		return "connection"
	}
	return "unpack"
}

// download returns when each layer is there, in seconds, if they begin in an order.
func download(layers []Layer, order []int, slots int, link Link) []float64 {
	there := make([]float64, len(layers))
	left := make([]float64, len(layers))
	begins := make([]float64, len(layers)) // when the first byte comes
	rtt := link.RTT.Seconds()
	now := greetings * rtt
	var active []int
	next := 0
	for next < len(order) || len(active) > 0 {
		for len(active) < slots && next < len(order) {
			i := order[next]
			left[i], begins[i] = float64(layers[i].Size), now+rtt
			active = append(active, i)
			next++
		}
		flowing := 0
		until := 0.0 // the next event
		for _, i := range active {
			if begins[i] <= now {
				flowing++
			} else if until == 0 || begins[i] < until {
				until = begins[i]
			}
		}
		rate := link.Bandwidth * payload / float64(max(flowing, 1))
		if link.Connection > 0 {
			rate = min(rate, link.Connection*payload)
		}
		for _, i := range active {
			if begins[i] <= now {
				if end := now + left[i]/rate; until == 0 || end < until {
					until = end
				}
			}
		}
		active = slices.DeleteFunc(active, func(i int) bool {
			if begins[i] > now {
				return false
			}
			if left[i] -= rate * (until - now); left[i] > 1e-6*rate {
				return false
			}
			there[i] = until
			return true
		})
		now = until
	}
	return there
}
