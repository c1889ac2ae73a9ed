package natstest

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// link passes connections on to a port, until it is cut.
type link struct {
	listener net.Listener
	target   string

	rate atomic.Int64 // bytes a second in each direction, 0 for as many as there are

	mu    sync.Mutex
	isCut bool
	open  map[net.Conn]struct{}
}

func newLink(t testing.TB, port int) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, target: fmt.Sprintf("127.0.0.1:%d", port), open: map[net.Conn]struct{}{}}
	t.Cleanup(func() {
		listener.Close()
		l.cut(true)
	})
	go l.serve()
	return l
}

func (l *link) serve() {
	for {
		from, err := l.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", l.target)
		if err != nil {
			from.Close()
			continue
		}
		if !l.keep(from, to) {
			continue
		}
		for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
			go func() {
				l.copy(pair[0], pair[1])
				l.drop(from, to)
			}()
		}
	}
}

// copy passes on what comes from src, no faster than the link's rate.
func (l *link) copy(dst, src net.Conn) {
	for buf := make([]byte, 16<<10); ; {
		n, err := src.Read(buf)
		if n > 0 {
			if rate := l.rate.Load(); rate > 0 {
				time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// keep closes the two if the link is cut.
func (l *link) keep(from, to net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		from.Close()
		to.Close()
		return false
	}
	l.open[from], l.open[to] = struct{}{}, struct{}{}
	return true
}

func (l *link) drop(from, to net.Conn) {
	from.Close()
	to.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, from)
	delete(l.open, to)
}

func (l *link) cut(isCut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = isCut
	for c := range l.open {
		if isCut {
			c.Close()
		}
	}
}
