package handlers

import (
	"os"
	"os/exec"
)

// withCheckpoints does nothing: there are no further descriptors here.
func withCheckpoints(*exec.Cmd, *os.File) {}

func signalOf(*exec.ExitError) int { return 0 }

// group is a program alone: there are no process groups here.
type group struct{ cmd *exec.Cmd }

func startGroup(cmd *exec.Cmd) (*group, error) { return &group{cmd}, cmd.Start() }

func (g *group) terminate()  { g.cmd.Process.Kill() }
func (g *group) kill()       { g.cmd.Process.Kill() }
func (g *group) wait() error { return g.cmd.Wait() }
