package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

const ipForwardFile = "/proc/sys/net/ipv4/ip_forward"

// bridgeName is that of the testbed with this cache and of no other.
func bridgeName(cache string) string {
	sum := sha256.Sum256([]byte(cache))
	return "factory-" + hex.EncodeToString(sum[:3])
}

// A Bridge is what was set up in the host's network for the engine. The engine
// itself is told to touch neither the firewall nor the forwarding: what it does
// there it would not undo.
type Bridge struct {
	Name    string     `json:"name"`
	Subnet  string     `json:"subnet"`
	Rules   [][]string `json:"rules,omitempty"`   // iptables arguments after -A or -I
	Forward bool       `json:"forward,omitempty"` // ip_forward was off
}

// makeBridge gives the engine a bridge whose containers reach the outside.
func (b *Bed) makeBridge(ctx context.Context) error {
	if b.State.Bridge != nil {
		if _, err := net.InterfaceByName(b.State.Bridge.Name); err == nil {
			return nil
		}
		if err := b.removeBridge(ctx); err != nil { // the machine was restarted
			return err
		}
	}
	taken, err := hostPrefixes()
	if err != nil {
		return err
	}
	subnet, err := freeSubnet(taken)
	if err != nil {
		return err
	}
	name := bridgeName(b.Cache)
	br := &Bridge{Name: name, Subnet: subnet.String(), Rules: bridgeRules(name, subnet.String())}
	forward, err := os.ReadFile(ipForwardFile)
	if err != nil {
		return fmt.Errorf("making a bridge: %w", err)
	}
	br.Forward = strings.TrimSpace(string(forward)) == "0"
	b.State.Bridge = br
	if err := b.save(); err != nil {
		return err
	}
	b.Log.Say("making the bridge %s, %s", br.Name, br.Subnet)
	gateway := netip.PrefixFrom(subnet.Addr().Next(), subnet.Bits()).String()
	for _, argv := range [][]string{
		{"ip", "link", "add", br.Name, "type", "bridge"},
		{"ip", "address", "add", gateway, "dev", br.Name},
		{"ip", "link", "set", br.Name, "up"},
	} {
		if err := runAdmin(ctx, argv...); err != nil {
			return fmt.Errorf("making a bridge: %w", err)
		}
	}
	if br.Forward {
		if err := os.WriteFile(ipForwardFile, []byte("1\n"), 0o644); err != nil {
			return fmt.Errorf("making a bridge: %w", err)
		}
	}
	for _, r := range br.Rules {
		if runAdmin(ctx, iptables("-C", r)...) == nil {
			continue
		}
		if err := runAdmin(ctx, iptables("-I", r)...); err != nil {
			b.Log.Say("the engine's containers cannot reach the outside: %v", err)
			break
		}
	}
	return nil
}

// removeBridge takes back what makeBridge did, as far as it is there.
func (b *Bed) removeBridge(ctx context.Context) error {
	br := b.State.Bridge
	if br == nil {
		return nil
	}
	for _, r := range br.Rules {
		if runAdmin(ctx, iptables("-C", r)...) != nil {
			continue
		}
		if err := runAdmin(ctx, iptables("-D", r)...); err != nil {
			return fmt.Errorf("removing a bridge: %w", err)
		}
	}
	if _, err := net.InterfaceByName(br.Name); err == nil {
		b.Log.Say("removing the bridge %s", br.Name)
		if err := runAdmin(ctx, "ip", "link", "delete", br.Name); err != nil {
			return fmt.Errorf("removing a bridge: %w", err)
		}
	}
	if br.Forward {
		if err := os.WriteFile(ipForwardFile, []byte("0\n"), 0o644); err != nil {
			return fmt.Errorf("removing a bridge: %w", err)
		}
	}
	b.State.Bridge = nil
	return b.save()
}

// bridgeRules are those that a container needs to get out and its answers in.
// The first word is the table. The comment tells whose they are.
func bridgeRules(name, subnet string) [][]string {
	comment := []string{"-m", "comment", "--comment", "dockerfactory testbed"}
	rules := [][]string{
		{"nat", "POSTROUTING", "-s", subnet, "!", "-o", name, "-j", "MASQUERADE"},
		{"filter", "FORWARD", "-i", name, "-j", "ACCEPT"},
		{"filter", "FORWARD", "-o", name, "-j", "ACCEPT"},
	}
	for i := range rules {
		rules[i] = append(rules[i], comment...)
	}
	return rules
}

func iptables(action string, rule []string) []string {
	return append([]string{"iptables", "-w", "-t", rule[0], action}, rule[1:]...)
}

func runAdmin(ctx context.Context, argv ...string) error {
	path, ok := lookPath(argv[0])
	if !ok {
		return fault.Hint(fmt.Errorf("running %s: it is not installed", argv[0]), "run testbed up --profile test")
	}
	_, err := output(ctx, append([]string{path}, argv[1:]...)...)
	return err
}

func hostPrefixes() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("making a bridge: %w", err)
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p)
		}
	}
	return out, nil
}

// freeSubnet picks a private network that overlaps none of taken.
func freeSubnet(taken []netip.Prefix) (netip.Prefix, error) {
	for third := range 255 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 31, byte(third), 0}), 24)
		free := true
		for _, t := range taken {
			free = free && !t.Overlaps(p)
		}
		if free {
			return p, nil
		}
	}
	return netip.Prefix{}, errors.New("making a bridge: every network of 172.31.0.0/16 is in use")
}
