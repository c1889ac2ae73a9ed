//go:build unix && !linux

package handlers

import (
	"os/exec"
	"syscall"
)

// startGroup starts the program as the leader of a group.
func startGroup(cmd *exec.Cmd) (*group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	g := &group{cmd: cmd}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g.id = cmd.Process.Pid
	return g, nil
}

// wait waits until the program has exited, and kills what is left of its group.
func (g *group) wait() error {
	state, err := g.cmd.Process.Wait()
	g.end()
	if err == nil && !state.Success() {
		err = &exec.ExitError{ProcessState: state}
	}
	g.cmd.Wait() // for the goroutines that copy; the program was waited for
	return err
}
