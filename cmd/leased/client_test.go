package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends"
	"github.com/ailease/lease/internal/natstest"
	"github.com/ailease/lease/runs"
)

// TestPythonClient runs a client that speaks like those of the hosted API, with the HTTP library of
// its guide, against each store.
func TestPythonClient(t *testing.T) {
	python := ""
	for _, candidate := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(candidate, "-c", "import requests").Run() == nil {
			python = candidate
			break
		}
	}
	if python == "" {
		t.Skip("python3 with requests (Debian: python3-requests) is not installed; the same answers are tested in package httpserver")
	}
	script, err := filepath.Abs("testdata/client.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, store := range []string{"memory:", "sqlite:leased.db", natstest.Alone(t).ClientURL()} {
		scheme, _, _ := strings.Cut(store, ":")
		t.Run(scheme, func(t *testing.T) {
			inEmptyFolder(t)
			t.Setenv("LEASED_API_KEY", "test_key_of_python")
			t.Setenv("no_proxy", "127.0.0.1")                            // the library would take the environment's proxy there too
			d := startDaemon(t, "--backend", store, "--handlers", "off") // the tasks are those of another program
			args := []string{script, d.url, "test_key_of_python"}
			if scheme != "memory" { // no other process sees that store
				args = append(args, workElsewhere(t, store))
			}
			out, err := exec.CommandContext(t.Context(), python, args...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "all answers are as the client expects") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// workElsewhere works on runs as another process on the store would, until the test ends. It
// returns the name of a task, whose runs double the n of their metadata.
func workElsewhere(t *testing.T, url string) (task string) {
	t.Helper()
	store, err := backends.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	m, err := lease.NewManager(store, lease.WithNamespace(defaultNamespace))
	if err != nil {
		t.Fatal(err)
	}
	type number struct{ N int }
	double := runs.Task[number, int]{Name: "double"}
	r := runs.New(m)
	double.Handle(r, func(_ context.Context, in number) (int, error) { return 2 * in.N, nil })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Work(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, store.Close()); err != nil {
			t.Error(err)
		}
	})
	return double.Name
}
