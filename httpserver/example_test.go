package httpserver_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
)

func Example() {
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	h, err := httpserver.New(m, httpserver.WithAPIKeys(map[string]string{"key_of_the_support_team": "support"}))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux() // the one your program has already
	mux.Handle("/v1/", h)
	server := httptest.NewServer(mux)
	defer server.Close()

	r, err := http.NewRequest(http.MethodGet, server.URL+"/v1/ai/status?key=chat_42", strings.NewReader(""))
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer key_of_the_support_team")
	res, err := server.Client().Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Split(string(body), ",")[1])
	// Output: "status":"not_found"
}
