package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestAncestors(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	worker := filepath.Join(t.TempDir(), "Runner.Worker")
	if err := os.Symlink(shell, worker); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), worker, "-c", "bash -c 'echo $$; read line; :'; :")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 20)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		t.Fatal(err)
	}
	got := Ancestors(pid)
	if len(got) < 2 || got[0].ID.PID != cmd.Process.Pid || got[0].Name != "Runner.Worker" || got[1].ID.PID != os.Getpid() || got[1].Name != Name(os.Getpid()) || !got[0].ID.Alive() {
		t.Errorf("%+v", got)
	}
	in.Close()
	_ = cmd.Wait()
	if got[0].ID.Alive() || Ancestors(pid) != nil || Name(pid) != "" {
		t.Error("they outlive their end")
	}
}
