// Package patched runs tests against a copy of a package in which one thing is broken on purpose:
// what proves something must fail then.
package patched

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Patch puts New in the place of Old, which stands exactly once in File. File is a path from the
// top of the module.
type Patch struct{ File, Old, New string }

// Test runs `go test` with the arguments, in the folder of the calling test, and returns what it
// printed. No file of the module is changed: the compiler is told to read the patched one instead.
// root is the path from there to the top of the module. It skips t if there is no go command.
func (p Patch) Test(t *testing.T, root string, args ...string) (out string, err error) {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command to compile the patched package with")
	}
	path, err := filepath.Abs(filepath.Join(root, p.File))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), p.Old); n != 1 {
		t.Fatalf("%s has %q %d times, must be once", p.File, p.Old, n)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, filepath.Base(p.File)), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		changed: []byte(strings.Replace(string(source), p.Old, p.New, 1)),
		overlay: replace,
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args = append([]string{"test", "-count=1", "-vet=off", "-overlay", overlay}, args...)
	b, err := exec.CommandContext(t.Context(), goTool, args...).CombinedOutput()
	return string(b), err
}
