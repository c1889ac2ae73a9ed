package handlers

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// startGroup starts the program as the leader of a group. The kernel kills it when the thread that
// has started it ends, so that thread waits for it.
func startGroup(cmd *exec.Cmd) (*group, error) {
	g := &group{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		err := cmd.Start()
		if err == nil {
			g.id = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		// WNOWAIT leaves the program to be waited for. Until then its number is no other group's.
		for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
		g.end()
		close(g.exited)
	}()
	return g, <-started
}

// wait waits until the program has exited, and kills what is left of its group.
func (g *group) wait() error {
	<-g.exited
	return g.cmd.Wait()
}
