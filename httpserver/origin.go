package httpserver

import (
	"errors"
	"net"
	"net/http"
	"strings"
)

// Errors of requests that a web page sent through somebody's browser.
var (
	errCrossOrigin = errors.New("a web page of another origin sent this request, and no API key is asked for here")
	errForeignHost = errors.New("the request names a host that this server does not answer for")
)

// sameOrigin refuses what a browser sends for a page of another origin. Reads are refused as well
// as writes: a status request may be held for a minute, and a page may load it many times.
func sameOrigin(r *http.Request) error {
	asked := *r
	asked.Method = http.MethodPost // http.CrossOriginProtection lets reads pass
	if new(http.CrossOriginProtection).Check(&asked) != nil {
		return errCrossOrigin
	}
	return nil
}

// knownHost refuses requests for a host that is none of h.hosts. A page whose name was made to
// point at this server (DNS rebinding) is of the same origin for the browser, but it has that name.
func (s *settings) knownHost(r *http.Request) error {
	if s.hosts == nil {
		return nil
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(r.Host, "["), "]") // without a port
	}
	if !s.hosts[strings.ToLower(host)] {
		return errForeignHost
	}
	return nil
}
