package memory_test

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mostSize is by how much leases in memory may enlarge a program. They take some 1.3 MB; an HTTP
// client alone takes twice this limit, and each of the other stores more.
const mostSize = 3 << 20

// TestMemoryProgramIsSmall: a program that keeps leases in memory links no database and no broker,
// and is little larger than one that does nothing.
func TestMemoryProgramIsSmall(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command, which this test needs to build two programs")
	}
	run := func(args ...string) string {
		t.Helper()
		var stderr strings.Builder
		c := exec.CommandContext(t.Context(), goTool, args...)
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		}
		return string(out)
	}

	// What it is made of: the standard library, and of this module what it cannot do without.
	const module = "github.com/ailease/lease"
	linked := strings.Fields(run("list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./testdata/leases"))
	if len(linked) == 0 {
		t.Fatal("go list names no package")
	}
	for _, path := range linked {
		switch {
		case path == module, path == module+"/backend", path == module+"/backends":
		case path == module+"/backends/memory", path == module+"/backends/memory/testdata/leases":
		case strings.HasPrefix(path, module+"/internal/"):
		default:
			t.Errorf("the program links %s", path)
		}
	}

	build := func(name string) (file string, size int64) {
		t.Helper()
		file = filepath.Join(t.TempDir(), name+".exe")
		run("build", "-o", file, "./testdata/"+name)
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return file, info.Size()
	}
	_, empty := build("empty")
	file, size := build("leases")
	if size <= empty || size > empty+mostSize {
		t.Errorf("the program has %d bytes, an empty one %d: want at most %d more, and some", size, empty, mostSize)
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Main.Path != module {
		t.Errorf("the program is of module %q, want %q", info.Main.Path, module)
	}
	for _, m := range info.Deps {
		t.Errorf("the program links module %s", m.Path)
	}
}
