package lease_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheProgramInTheDocumentationIsTheOneInExamples: what compiles there compiles for readers too.
func TestTheProgramInTheDocumentationIsTheOneInExamples(t *testing.T) {
	program := textOf(t, "examples/hello/main.go")
	if shown := "```go\n" + program + "```\n"; !strings.Contains(textOf(t, "README.md"), shown) {
		t.Error("README.md does not show examples/hello/main.go as it is")
	}
	var shown strings.Builder
	for line := range strings.Lines(program) {
		if line = strings.TrimRight(line, "\n"); line != "" {
			line = "\t" + line
		}
		shown.WriteString("//" + line + "\n")
	}
	if !strings.Contains(textOf(t, "doc.go"), shown.String()) {
		t.Error("doc.go does not show examples/hello/main.go as it is")
	}
}

// aroundRuns is what the statements about runs leave out.
const aroundRuns = `package main

import (
	"context"

	"github.com/ailease/lease"
	"github.com/ailease/lease/runs"
)

type Request struct{}

type Result struct{}

func summarize(context.Context, Request) (Result, error) { return Result{}, nil }

func main() {}

func example(ctx context.Context, m *lease.Manager, in Request) {
`

// TestEveryBlockOfTheREADMECompiles: a block is a whole program, imports and statements, or the
// statements about runs.
func TestEveryBlockOfTheREADMECompiles(t *testing.T) {
	blocks := strings.Split(textOf(t, "README.md"), "```go\n")[1:]
	if len(blocks) < 2 {
		t.Fatalf("%d blocks of Go in README.md", len(blocks))
	}
	for i, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		switch {
		case strings.HasPrefix(block, "package "):
		case !strings.HasPrefix(block, "import "):
			block = aroundRuns + block + "\t_, _, _, _ = l, started, result, err\n}\n"
		default:
			imports, statements, _ := strings.Cut(block, "\n)\n")
			block = "package main\n\nimport \"context\"\n\n" + imports + "\n)\n\n" +
				"func main() {\n\tctx := context.Background()\n" + statements + "\t_, _ = store, err\n}\n"
		}
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput(); err != nil {
			t.Errorf("block %d: %v\n%s\n%s", i+1, err, out, block)
		}
	}
}

// TestEveryCommandOfTheREADMEIsRun: by CI, or by a test. What cannot be run before a release says
// so here.
func TestEveryCommandOfTheREADMEIsRun(t *testing.T) {
	by := map[string]string{
		"go get github.com/ailease/lease": "", // there is no release yet
		"go run ./examples/quickstart":    "go run \"./$example\"",
		"go test ./...":                   "go test ./...",
		"go run ./cmd/leased":             "go test ./...", // as are the lines that ask it: package main of leased
	}
	ci := textOf(t, ".ci/run")
	for _, block := range strings.Split(textOf(t, "README.md"), "```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		if strings.HasPrefix(block, "KEY=") {
			continue // TestTheCommandsOfTheREADMEWorkAsPrinted
		}
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			if step, ok := by[line]; !ok || !strings.Contains(ci, step) {
				t.Errorf("nothing runs this command of README.md: %s", line)
			}
		}
	}
}

func textOf(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
