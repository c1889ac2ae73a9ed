package main

import (
	"io"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// beLeased has the test binary be leased, for tests that need a process of its own.
const beLeased = "BE_LEASED_FOR_A_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(beLeased) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a leased in a process of its own.
type process struct {
	url string
	cmd *exec.Cmd
}

// startProcess waits until it serves. Its standard error is stderr.
func startProcess(t *testing.T, stderr *os.File, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(self, append([]string{"--addr", "127.0.0.1:0"}, args...)...)}
	p.cmd.Env = append(os.Environ(), beLeased+"=1")
	p.cmd.Stderr = stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	var said []byte
	serving := regexp.MustCompile(`serving (http://\S+) `)
	for b := make([]byte, 4096); p.url == ""; {
		n, err := out.Read(b)
		said = append(said, b[:n]...)
		if m := serving.FindSubmatch(said); m != nil {
			p.url = string(m[1])
		} else if err != nil {
			t.Fatalf("leased does not serve: %s", said)
		}
	}
	go io.Copy(io.Discard, out)
	return p
}

// end tells leased to end and returns how it did.
func (p *process) end(t *testing.T) error {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(time.Minute):
		t.Fatal("leased does not end")
		return nil
	}
}
