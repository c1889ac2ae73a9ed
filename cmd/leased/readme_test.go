package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestTheCommandsOfTheREADMEWorkAsPrinted runs the README's own curl lines against a daemon. What
// the reader fills in, the API key and the lease id, is filled in; the port is the daemon's. Each
// answer must have the status that the comment beside the line names.
func TestTheCommandsOfTheREADMEWorkAsPrinted(t *testing.T) {
	for _, needed := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skipf("%s is not installed; the same requests are tested in package httpserver", needed)
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "```sh\nKEY=...\n")
	block, _, _ = strings.Cut(block, "```")
	inEmptyFolder(t)
	t.Setenv("LEASED_API_KEY", "test_key_of_the_readme")
	t.Setenv("no_proxy", "127.0.0.1")
	d := startDaemon(t)

	script := []string{"set -eu", "KEY=test_key_of_the_readme", "answer="}
	var wants []string
	named := regexp.MustCompile(`# "(\w+)"`)
	for line := range strings.Lines(block) {
		line = strings.ReplaceAll(strings.TrimSpace(line), "http://127.0.0.1:8080", d.url)
		switch {
		case strings.HasPrefix(line, "ID="):
			line = `ID=$(sed -n 's/.*"lease_id":"\([^"]*\)".*/\1/p' <<<"$answer")`
		case strings.HasPrefix(line, "ask "):
			want := named.FindStringSubmatch(line)
			if want == nil {
				t.Fatalf("the README does not say how this is answered: %s", line)
			}
			wants = append(wants, want[1])
			line = fmt.Sprintf("answer=$(\n%s\n)\necho \"$answer\"", line)
		}
		script = append(script, line)
	}
	out, err := exec.CommandContext(t.Context(), "bash", "-c", strings.Join(script, "\n")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(wants) < 5 || len(answers) != len(wants) {
		t.Fatalf("%d commands, %d answers:\n%s", len(wants), len(answers), out)
	}
	for i, want := range wants {
		if !strings.Contains(answers[i], fmt.Sprintf(`"status":%q`, want)) {
			t.Errorf("command %d is answered by %s; the README says %q", i+1, answers[i], want)
		}
	}
}
