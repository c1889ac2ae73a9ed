// Embed: a program that serves something else gets the lease API as well, under a prefix of its
// own. It shares the port and the store with what the program does itself.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
)

const apiKey = "key_of_the_support_team"

func main() {
	log.SetFlags(0)
	m, err := lease.NewManager(memory.New(), lease.WithNamespace("support"))
	if err != nil {
		log.Fatal(err)
	}
	leases, err := httpserver.New(m, httpserver.WithAPIKeys(map[string]string{apiKey: "support"}))
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the program's own page\n") })
	mux.Handle("/leases/", http.StripPrefix("/leases", leases))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)
	defer server.Shutdown(context.Background())
	base := "http://" + listener.Addr().String()

	// The program does work in Go. Agents in any language ask for the same keys over HTTP.
	answer, err := lease.Do(context.Background(), m, "chat_7", nil, func(context.Context) (map[string]string, error) {
		return map[string]string{"resolution": "password reset"}, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("in Go: %v\n", answer)
	show("GET", base+"/", "")
	show("POST", base+"/leases/v1/ai/lease", `{"key":"chat_7"}`)
	show("GET", base+"/leases/v1/ai/result?key=chat_7", "")
	show("POST", base+"/leases/v1/ai/lease", `{"key":"chat_8","ttl":60}`)
}

func show(method, url, body string) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s %s\n  %s %s\n", method, r.URL.RequestURI(), body, res.Status, answer)
}
