package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// listen opens the address. Its errors do not quote it.
func (c *config) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", c.addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", named("addr"), withoutAddress(err))
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); c.noAuth && !(ok && tcp.IP.IsLoopback()) {
		l.Close()
		return nil, errors.New("--no-auth on this --addr would admit everybody who can reach it: listen on a loopback address such as 127.0.0.1:8080, or use API keys")
	}
	return l, nil
}

// checkAddr finds out whether the address is right, which it is not most often, before anything
// else is begun. Nobody is served yet.
func (c *config) checkAddr() (net.Addr, error) {
	l, err := c.listen()
	if err != nil {
		return nil, err
	}
	return l.Addr(), l.Close()
}

// hosts are what a request may name as its host with --no-auth.
func (c *config) hosts(addr net.Addr) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	for _, a := range []string{c.addr, addr.String()} {
		if host, _, err := net.SplitHostPort(a); err == nil && host != "" {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// withoutAddress is what package net says is wrong, without the address.
func withoutAddress(err error) error {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return errors.New("no such host or port")
		}
		return errors.New("the host cannot be looked up")
	}
	if e, ok := errors.AsType[*net.AddrError](err); ok {
		return errors.New(e.Err)
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		return e
	}
	return errors.New("want host:port")
}

// ending is a listener whose connections can be given deadlines that nothing extends: for a
// shutdown, which must not wait for clients that neither send what they announced nor read what
// they asked for.
type ending struct {
	net.Listener

	mu      sync.Mutex
	conns   map[*endingConn]struct{}
	readBy  time.Time // zero until the end begins
	writeBy time.Time
}

func newEnding(l net.Listener) *ending {
	return &ending{Listener: l, conns: make(map[*endingConn]struct{})}
}

func (e *ending) Accept() (net.Conn, error) {
	conn, err := e.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &endingConn{Conn: conn, of: e}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conns[c] = struct{}{}
	c.set()
	return c, nil
}

// end gives clients until readBy to send their requests, and until writeBy to read the answers.
func (e *ending) end(readBy, writeBy time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readBy, e.writeBy = readBy, writeBy
	for c := range e.conns {
		c.set()
	}
}

// endingConn is a connection of an ending. The mutex of that guards its fields.
type endingConn struct {
	net.Conn
	of            *ending
	read, written time.Time // the deadlines that the server has set
}

// set gives the connection the earlier of its own deadlines and those of the end.
func (c *endingConn) set() error {
	return errors.Join(c.Conn.SetReadDeadline(earlier(c.read, c.of.readBy)), c.Conn.SetWriteDeadline(earlier(c.written, c.of.writeBy)))
}

func (c *endingConn) SetReadDeadline(t time.Time) error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.read = t
	return c.Conn.SetReadDeadline(earlier(t, c.of.readBy))
}

func (c *endingConn) SetWriteDeadline(t time.Time) error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.written = t
	return c.Conn.SetWriteDeadline(earlier(t, c.of.writeBy))
}

func (c *endingConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *endingConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite has the server close gently, as it does with a plain connection.
func (c *endingConn) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}

// earlier of two deadlines; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
