package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// residentKB returns the most resident memory that the process has had.
func (p *process) residentKB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skip("this system does not tell a process's resident memory")
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Skip("this system does not tell a process's resident memory")
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// crowd is many clients that send a text each and read no answer. It returns how many KB more
// leased takes for them. A lease can be extended meanwhile.
func crowd(t *testing.T, clients int, text string) (tookKB int) {
	t.Helper()
	inEmptyFolder(t)
	t.Setenv(apiKeyVariable, shutdownKey)
	p := startProcess(t, nil, "--backend", "memory:", "--max-held-bytes", fmt.Sprint(8<<20))
	d := &daemon{url: p.url}
	_, held := d.ask(t, shutdownKey, "POST", "/v1/ai/lease", `{"key":"held"}`)
	before := p.residentKB(t)
	var all sync.WaitGroup
	conns := make([]net.Conn, clients)
	for i := range conns {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
		conn.(*net.TCPConn).SetReadBuffer(4096)
		all.Go(func() {
			io.WriteString(conn, text) // as far as it is taken
			conn.SetReadDeadline(time.Now().Add(2 * time.Second))
			conn.Read(make([]byte, 1)) // an answer begins, or none comes
		})
	}
	all.Wait()
	if code, a := d.ask(t, shutdownKey, "POST", "/v1/ai/extend", fmt.Sprintf(`{"key":"held","lease_id":%q}`, held["lease_id"])); code != 200 {
		t.Errorf("an extension: %d %v", code, a)
	}
	tookKB = p.residentKB(t) - before
	for _, conn := range conns {
		conn.Close()
	}
	if err := p.end(t); err != nil {
		t.Error(err)
	}
	return tookKB
}

// TestWhatClientsSendTakesLittleMemory, be it refused or never sent to its end.
func TestWhatClientsSendTakesLittleMemory(t *testing.T) {
	const clients, large = 400, 1_000_000
	long := strings.Repeat("<", large)
	post := func(length int) string {
		return head("POST", "/v1/ai/lease", bearer, isJSON, fmt.Sprintf("Content-Length: %d", length))
	}
	for name, text := range map[string]string{
		"keys that are too long":        post(large+10) + `{"key":"` + long + `"}`,
		"bodies that never end":         post(large+100) + `{"key":"` + long,
		"bodies in chunks, without end": head("POST", "/v1/ai/lease", bearer, isJSON, "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n", large) + long + "\r\n",
		"many bodies in one connection": strings.Repeat(post(large/10+10)+`{"key":"`+long[:large/10]+`"}`, 10),
	} {
		t.Run(name, func(t *testing.T) {
			took := crowd(t, clients, text)
			t.Logf("%d MB were sent, leased took %d MB", clients*large>>20, took>>10)
			if took > clients*large>>10/2 {
				t.Errorf("%d KB were sent, leased took %d KB", clients*large>>10, took)
			}
		})
	}
}
