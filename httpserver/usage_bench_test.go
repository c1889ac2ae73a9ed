package httpserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/usage"
)

// BenchmarkUsage acquires leases over a handler that counts and over one that does not, in turns,
// and reports how much longer the first one takes.
func BenchmarkUsage(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) backend.Backend{
		"memory": func(*testing.B) backend.Backend { return memory.New() },
		"sqlite": func(b *testing.B) backend.Backend {
			s, err := sqlite.Open(b.Context(), b.TempDir()+"/leases.db")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			return s
		},
	} {
		b.Run(name, func(b *testing.B) {
			var handlers [2]http.Handler
			for i := range handlers {
				store := open(b)
				m, err := lease.NewManager(store)
				if err != nil {
					b.Fatal(err)
				}
				opts := []httpserver.Option{httpserver.WithoutAuth()}
				if i == 1 {
					counters := usage.New(store)
					b.Cleanup(func() { counters.Close(context.WithoutCancel(b.Context())) })
					opts = append(opts, httpserver.WithUsage(counters))
				}
				if handlers[i], err = httpserver.New(m, opts...); err != nil {
					b.Fatal(err)
				}
			}
			const inARow = 50
			var took [2]time.Duration
			n, first := 0, 0
			for b.Loop() {
				first = 1 - first // neither is always the one behind the other
				for turn := range handlers {
					i := (first + turn) % 2
					h := handlers[i]
					for j := range inARow {
						r := request(http.MethodPost, "/v1/ai/lease", fmt.Sprintf(`{"key":"k%d"}`, n+j))
						w := httptest.NewRecorder()
						began := time.Now()
						h.ServeHTTP(w, r)
						took[i] += time.Since(began)
						if w.Code != http.StatusOK {
							b.Fatal(w.Code, w.Body)
						}
					}
				}
				n += inARow
			}
			b.ReportMetric(float64(took[0].Nanoseconds())/float64(n), "plain-ns/lease")
			b.ReportMetric(float64(took[1].Nanoseconds())/float64(n), "counted-ns/lease")
			b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
		})
	}
}
