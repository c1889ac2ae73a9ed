package natstest

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// link passes connections on to a port, until it is cut.
type link struct {
	listener net.Listener
	target   string

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
				io.Copy(pair[0], pair[1])
				l.drop(from, to)
			}()
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
