//go:build unix

package handlers

import (
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// withCheckpoints gives the program file descriptor 3.
func withCheckpoints(cmd *exec.Cmd, f *os.File) { cmd.ExtraFiles = []*os.File{f} }

// signalOf is the signal that has ended a program.
func signalOf(exit *exec.ExitError) int {
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok {
		return 0
	}
	return int(status.Signal())
}

// group is the process group of a program. Its number stays its own until the program is waited
// for: after that nothing is sent to it.
type group struct {
	cmd    *exec.Cmd
	exited chan struct{}

	mu sync.Mutex
	id int // 0 once it is waited for
}

func (g *group) terminate() { g.send(syscall.SIGTERM) }
func (g *group) kill()      { g.send(syscall.SIGKILL) }

func (g *group) send(s syscall.Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.id != 0 {
		syscall.Kill(-g.id, s)
	}
}

// end kills what is left of the group, for the last time.
func (g *group) end() {
	g.kill()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.id = 0
}
