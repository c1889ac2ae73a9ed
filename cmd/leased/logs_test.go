package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a reader of lines that takes none before it is opened.
type gate struct {
	open chan struct{}
	b    bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	return g.b.Write(p)
}

// TestLinesDoNotWait for whoever reads them. Those that do not fit are counted.
func TestLinesDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		l := newLines(g)
		const all = 3 * mostLogBytes / 100
		for i := range all {
			fmt.Fprintf(l, "%099d\n", i)
		}
		synctest.Wait()
		close(g.open)
		synctest.Wait() // all that waited is written
		fmt.Fprintln(l, "last")
		closeLines(time.Minute, l)
		fmt.Fprintln(l, "after the end")
		text := g.b.String()
		got := strings.Count(text, "\n")
		kept := got - 2
		if dropped := fmt.Sprintf(`msg="leased: lines of the log were dropped" lines=%d`, all-kept); kept < mostLogBytes/100 || kept > mostLogBytes/100+1 || !strings.Contains(text, dropped) {
			t.Errorf("%d lines of %d were kept; not told: %s\n%.500s", kept, all, dropped, text[max(0, len(text)-500):])
		}
		if !strings.HasPrefix(text, strings.Repeat("0", 99)) || !strings.HasSuffix(text, "\nlast\n") {
			t.Errorf("the first lines were not kept, or the last was not written")
		}
	})
}

// TestTheEndDoesNotWaitForAReader longer than it was told.
func TestTheEndDoesNotWaitForAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		l, other := newLines(&gate{open: open}), newLines(&gate{open: open})
		fmt.Fprintln(l, "one")
		fmt.Fprintln(other, "one")
		began := time.Now()
		closeLines(2*time.Second, l, other)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the end took %v", took)
		}
		close(open)
	})
}

// broken is a reader that has gone, and may come back.
type broken struct {
	gone   bool
	writes int
	b      bytes.Buffer
}

func (b *broken) Write(p []byte) (int, error) {
	b.writes++
	if b.gone {
		return 0, syscall.EPIPE
	}
	return b.b.Write(p)
}

// TestLinesToNobodyAreDropped: each is tried once, and once somebody reads again, they are told.
func TestLinesToNobodyAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broken{gone: true}
		l := newLines(b)
		for range 5 {
			fmt.Fprintln(l, "line")
		}
		synctest.Wait()
		if b.writes != 5 {
			t.Errorf("%d writes of 5 lines", b.writes)
		}
		b.gone = false
		fmt.Fprintln(l, "again")
		closeLines(time.Minute, l)
		if text := b.b.String(); !strings.HasPrefix(text, "again\n") || !strings.Contains(text, "dropped\" lines=5\n") {
			t.Errorf("%s", text)
		}
	})
}

// TestARunOfRecordsIsOneLine, and other records are let through.
func TestARunOfRecordsIsOneLine(t *testing.T) {
	for _, tt := range []struct {
		kind     func(string) string
		messages [2]string // of one kind
	}{
		{managerKind, [2]string{"lease: outcome_settled", "lease: outcome_settled"}},
		{managerKind, [2]string{"lease: unreadable", "lease: unreadable"}},
		{serverKind, [2]string{"http: Accept error: accept tcp: too many open files; retrying in 5ms", "http: Accept error: accept tcp: too many open files; retrying in 10ms"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			log := slog.New(newRunLog(slog.NewTextHandler(&b, nil), tt.kind)).With("a", 1).WithGroup("g")
			count := func(text string) int { return strings.Count(b.String(), text) }
			for range 500 {
				for _, message := range tt.messages {
					log.Warn(message)
					time.Sleep(time.Millisecond)
				}
			}
			if n := count("level=WARN"); n != 1 {
				t.Errorf("%d lines:\n%.1000s", n, b.String())
			}
			time.Sleep(overAfter)
			log.Warn(tt.messages[1])
			if n := count("level=WARN"); n != 2 || count("not_logged_before=999") != 1 {
				t.Errorf("%s", b.String())
			}
			for range 10 {
				log.Info("lease: released")
			}
			if n := count("lease: released"); n != 10 && tt.kind("lease: released") == "" {
				t.Errorf("%d lines of 10", n)
			}
		})
	}
}

// TestNobodyReadsTheLog: a pipe that is full stops neither requests nor the end of the daemon, and
// one whose reader has gone does not kill it.
func TestNobodyReadsTheLog(t *testing.T) {
	for _, tt := range []struct {
		name string
		gone bool
	}{{"the reader does not read", false}, {"the reader has gone", true}} {
		t.Run(tt.name, func(t *testing.T) {
			inEmptyFolder(t)
			from, to, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			p := startProcess(t, to, "--no-auth", "--backend", "memory:")
			to.Close()
			if tt.gone {
				from.Close()
			}
			d := &daemon{url: p.url}
			// Each is a line of more than 300 bytes: more than a pipe holds.
			key := strings.Repeat("k", 250)
			for i := range 500 {
				_, a := d.ask(t, "", "POST", "/v1/ai/lease", fmt.Sprintf(`{"key":"%s%d"}`, key, i))
				if code, a := d.ask(t, "", "POST", "/v1/ai/release", fmt.Sprintf(`{"key":"%s%d","lease_id":%q}`, key, i, a["lease_id"])); code != 200 {
					t.Fatalf("request %d: %d %v", i, code, a)
				}
			}
			if err := p.end(t); err != nil {
				t.Errorf("leased: %v", err)
			}
			if !tt.gone {
				text, err := io.ReadAll(from)
				if n := strings.Count(string(text), "lease: released"); err != nil || n == 0 || n >= 500 {
					t.Errorf("%d lines were in the pipe, %v: it was not full", n, err)
				}
			}
		})
	}
}
