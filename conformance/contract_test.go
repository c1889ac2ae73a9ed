package conformance_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/ailease/lease/conformance"
)

// everyProperty is for a promise on which all of them rest.
var everyProperty = conformance.Names()

// everyJournal are the properties of journals.
var everyJournal = slices.DeleteFunc(conformance.Names(), func(p string) bool { return !strings.HasPrefix(p, "journal") })

// everyWatch are the properties that end a watch.
var everyWatch = slices.DeleteFunc(conformance.Names(), func(p string) bool {
	return !strings.Contains(p, "watch") && p != "limits" && p != "aliasing" && p != "whole states" && p != "list while writing" && p != "closed"
})

// TestTheContractIsWhole compares the table of promises with backend.go, prefix.go and journal.go:
// none is missing.
func TestTheContractIsWhole(t *testing.T) {
	var doc []string
	for _, name := range []string{"backend.go", "prefix.go", "journal.go"} {
		doc = append(doc, sayings(t, "../backend/"+name)...)
	}
	rest := strings.Join(strings.Fields(strings.NewReplacer("[", "", "]", "", "# ", "").Replace(strings.Join(doc, " "))), " ")
	for _, p := range contract {
		after, ok := strings.CutPrefix(rest, p.sentence)
		if !ok {
			t.Fatalf("the table says %q, package backend:\n%.200s", p.sentence, rest)
		}
		rest = strings.TrimSpace(after)
	}
	if rest != "" {
		t.Errorf("package backend says more than the table:\n%s", rest)
	}
}

// sayings are the documentation of the package and of its types in a file.
func sayings(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	doc := []string{f.Doc.Text()}
	for _, d := range f.Decls {
		if _, ok := d.(*ast.FuncDecl); ok {
			continue // helpers, with tests of their own
		}
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				doc = append(doc, n.Doc.Text())
			case *ast.ValueSpec:
				doc = append(doc, n.Doc.Text())
			case *ast.Field:
				doc = append(doc, n.Doc.Text())
			}
			return true
		})
	}
	return doc
}

// TestEveryPromiseIsChecked prints which property checks each sentence of the interface, and which
// mutants break it. The first of them breaks nothing else.
func TestEveryPromiseIsChecked(t *testing.T) {
	of := map[string]verdict{}
	for _, v := range ofAllMutants(t) {
		of[v.name] = v
	}
	var table strings.Builder
	used := map[string]int{}
	for _, p := range contract {
		if p.why != "" {
			fmt.Fprintf(&table, "%s\n    not checked: %s\n", p.sentence, p.why)
			continue
		}
		if len(p.by) == 0 || len(p.mutants) == 0 {
			t.Errorf("no property checks, or no mutant breaks: %s", p.sentence)
			continue
		}
		fmt.Fprintf(&table, "%s\n", p.sentence)
		for i, name := range p.mutants {
			v, ok := of[name]
			if !ok {
				t.Errorf("there is no mutant %q", name)
				continue
			}
			used[name]++
			fmt.Fprintf(&table, "    %-54s %s\n", name, v.caughtBy)
			if i > 0 {
				continue
			}
			if !slices.Contains(p.by, v.caughtBy) {
				t.Errorf("%s: %q is caught by property %q, which does not rest on that", p.sentence, name, v.caughtBy)
			}
			for _, also := range v.also {
				if !slices.Contains(p.by, also) {
					t.Errorf("%s: %q breaks more than that, it also fails property %q", p.sentence, name, also)
				}
			}
		}
	}
	for _, p := range contract {
		for _, name := range p.by {
			if conformance.Promise(name) == "" {
				t.Errorf("there is no property %q", name)
			}
		}
	}
	for _, m := range mutants {
		if used[m.name] != 1 {
			t.Errorf("mutant %q stands in %d rows of the table, want 1", m.name, used[m.name])
		}
	}
	for _, name := range conformance.Names() {
		if !slices.ContainsFunc(mutants, func(m mutant) bool { return m.caughtBy == name }) {
			t.Errorf("no mutant shows what property %q is for", name)
		}
	}
	t.Logf("%d sentences:\n%s", len(contract), table.String())
}
