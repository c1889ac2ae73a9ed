package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ailease/lease/internal/natstest"
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
			t.Setenv("no_proxy", "127.0.0.1") // the library would take the environment's proxy there too
			d := startDaemon(t, "--backend", store)
			out, err := exec.CommandContext(t.Context(), python, script, d.url, "test_key_of_python").CombinedOutput()
			if err != nil || !strings.Contains(string(out), "all answers are as the client expects") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
