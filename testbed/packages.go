package testbed

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/dockerfactory/dockerfactory/shared/fault"
)

// A need is something that a Debian package brings: a program on PATH or a file.
type need struct {
	program, file string
	pkg           string
}

var (
	demoNeeds = []need{
		{program: "runc", pkg: "runc"},
		{program: "iptables", pkg: "iptables"},
		{file: "/etc/ssl/certs/ca-certificates.crt", pkg: "ca-certificates"},
	}
	testNeeds = append(slices.Clone(demoNeeds),
		need{program: "mkfs.btrfs", pkg: "btrfs-progs"},
		need{program: "mkfs.xfs", pkg: "xfsprogs"},
		need{program: "mkfs.ext4", pkg: "e2fsprogs"},
		need{program: "skopeo", pkg: "skopeo"},
		need{program: "umoci", pkg: "umoci"},
		need{file: initFile, pkg: "tini"},
		need{program: "ip", pkg: "iproute2"},
		need{program: "python3", pkg: "python3-minimal"},
		need{program: "getfattr", pkg: "attr"},
		// The race detector links by the C compiler.
		need{program: "gcc", pkg: "gcc"},
		need{file: "/usr/include/stdio.h", pkg: "libc6-dev"},
	)
	baseNeeds = []need{
		{program: "debootstrap", pkg: "debootstrap"},
		{file: "/usr/share/keyrings/debian-archive-keyring.gpg", pkg: "debian-archive-keyring"},
	}
)

func (n need) met() bool {
	if n.file != "" {
		_, err := os.Stat(n.file)
		return err == nil
	}
	_, ok := lookPath(n.program)
	return ok
}

// missing returns the packages of the needs that are not met, each once.
func missing(needs []need, met func(need) bool) []string {
	var pkgs []string
	for _, n := range needs {
		if !met(n) && !slices.Contains(pkgs, n.pkg) {
			pkgs = append(pkgs, n.pkg)
		}
	}
	return pkgs
}

var aptEnv = []string{"DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}

// install brings in the packages whose needs are not met. None of them starts
// a service.
func (b *Bed) install(ctx context.Context, needs []need) error {
	pkgs := missing(needs, need.met)
	if len(pkgs) == 0 {
		return nil
	}
	list := strings.Join(pkgs, " ")
	if _, ok := lookPath("apt-get"); !ok {
		return fault.Hint(fmt.Errorf("installing %s: this machine has no apt-get", list), "install what provides them by hand")
	}
	if err := b.aptUpdate(ctx); err != nil {
		return err
	}
	// Ends what an interrupted run may have begun; apt-get refuses to go on before.
	if err := asRoot(ctx, "", aptEnv, "dpkg", "--configure", "-a"); err != nil {
		return fmt.Errorf("installing %s: %w", list, err)
	}
	end := b.Log.Step("installing %s", list)
	argv := append([]string{
		"apt-get", "install", "-y", "-q", "--no-install-recommends",
		"-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0",
	}, pkgs...)
	err := asRoot(ctx, "", aptEnv, argv...)
	end(err)
	if err != nil {
		return fmt.Errorf("installing %s: %w", list, err)
	}
	if still := missing(needs, need.met); len(still) > 0 {
		return fmt.Errorf("installing %s: %s did not bring what it is needed for", list, strings.Join(still, " "))
	}
	return nil
}

// aptUpdate refreshes the package lists. One repository of several that does
// not answer need not matter, so its failure is told and not fatal.
func (b *Bed) aptUpdate(ctx context.Context) error {
	end := b.Log.Step("refreshing the package lists")
	err := asRoot(ctx, "", aptEnv, "apt-get", "update", "-q", "-o", "DPkg::Lock::Timeout=300")
	end(err)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		b.Log.Say("going on with the package lists as they are: %v", err)
	}
	return nil
}
