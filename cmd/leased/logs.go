package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// mostLogBytes bounds the lines that wait to be written.
const mostLogBytes = 1 << 20

// lines writes to something that may be slow, or that nobody reads, without waiting for it: a full
// pipe must not stop the daemon. Lines that do not fit are dropped and counted, and so are those
// that cannot be written. Each Write is a line or more.
type lines struct {
	to io.Writer

	mu      sync.Mutex
	queue   [][]byte
	size    int // of the queue
	dropped int
	ended   bool
	wake    chan struct{} // has something if there is work, or the end
	done    chan struct{} // closed when all is written after the end
}

func newLines(to io.Writer) *lines {
	l := &lines{to: to, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run()
	return l
}

// Write implements [io.Writer]. It never waits, and never fails.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.size+len(p) > mostLogBytes {
		l.dropped++
		return len(p), nil
	}
	l.queue = append(l.queue, append([]byte(nil), p...))
	l.size += len(p)
	l.signal()
	return len(p), nil
}

func (l *lines) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lines) run() {
	defer close(l.done)
	for range l.wake {
		for {
			line, ended := l.next()
			if line == nil {
				if ended {
					return
				}
				break
			}
			_, err := l.to.Write(line)
			l.wrote(err)
		}
	}
}

// next is the next line; nil if there is none.
func (l *lines) next() (line []byte, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) > 0 {
		line, l.queue[0] = l.queue[0], nil
		l.queue = l.queue[1:]
		l.size -= len(line)
	}
	return line, l.ended
}

// wrote counts a line that could not be written. Once one could, and there is room again, a line
// tells how many were dropped.
func (l *lines) wrote(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.dropped++
	} else if len(l.queue) == 0 && l.dropped > 0 {
		l.queue = append(l.queue, fmt.Appendf(nil, "time=%s level=WARN msg=\"leased: lines of the log were dropped\" lines=%d\n", time.Now().Format(time.RFC3339), l.dropped))
		l.size, l.dropped = len(l.queue[0]), 0
	}
}

// end has all that waits written, and takes no more. done is closed when it is written.
func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.signal()
}

// closeLines ends all, and waits until they are written, but no longer than most.
func closeLines(most time.Duration, all ...*lines) {
	for _, l := range all {
		l.end()
	}
	late := time.After(most)
	for _, l := range all {
		select {
		case <-l.done:
		case <-late:
			return
		}
	}
}

// runLog is a log that has one line for a run of records of the same kind, where each request could
// have one. A run is over when there was none for overAfter.
type runLog struct {
	slog.Handler
	kind func(message string) string // "" if each record has its line
	runs *logRuns
}

// managerKind is for what the Manager logs: what an outage of the store, or a client, can cause by
// the thousand. The handler of requests has lines of its own for the same troubles.
func managerKind(message string) string {
	switch message {
	case "lease: outcome_settled", "lease: unreadable":
		return message
	}
	return ""
}

// workKind is for what the workers log: an outage of the store makes a line for each namespace.
func workKind(message string) string { return message }

// serverKind is for what net/http logs. Behind the beginning there may be an address, or a
// duration.
func serverKind(message string) string { return message[:min(len(message), 20)] }

const overAfter = 5 * time.Second

type logRuns struct {
	mu sync.Mutex
	of map[string]*logRun
}

type logRun struct {
	last  time.Time
	muted int // records since the last line
}

func newRunLog(h slog.Handler, kind func(message string) string) *runLog {
	return &runLog{h, kind, &logRuns{of: make(map[string]*logRun)}}
}

func (l *runLog) Handle(ctx context.Context, r slog.Record) error {
	if kind := l.kind(r.Message); kind != "" {
		muted, pass := l.runs.next(kind, r.Time)
		if !pass {
			return nil
		}
		if muted > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int("not_logged_before", muted))
		}
	}
	return l.Handler.Handle(ctx, r)
}

func (c *logRuns) next(kind string, now time.Time) (muted int, pass bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	run := c.of[kind]
	if run == nil {
		run = &logRun{}
		c.of[kind] = run
	}
	pass = now.Sub(run.last) >= overAfter
	run.last = now
	if !pass {
		run.muted++
		return 0, false
	}
	muted, run.muted = run.muted, 0
	return muted, true
}

func (l *runLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &runLog{l.Handler.WithAttrs(attrs), l.kind, l.runs}
}

func (l *runLog) WithGroup(name string) slog.Handler {
	return &runLog{l.Handler.WithGroup(name), l.kind, l.runs}
}
