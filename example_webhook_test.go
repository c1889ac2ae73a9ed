package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// shop receives what a payment provider delivers: each event at least once, and again until it is
// answered with 200. Its caller has checked the signature.
type shop struct {
	leases  *lease.Manager
	shipped atomic.Int32
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var paid struct{ Event, Order string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&paid); err != nil || paid.Event == "" {
		http.Error(w, "not an event", http.StatusBadRequest)
		return
	}
	// Finish: a provider that hangs up does not stop the shipment. It delivers the event again, and
	// gets the stored answer then.
	opts := &lease.DoOptions{Finish: true, NoWait: true}
	parcel, err := lease.Do(r.Context(), s.leases, "paid_"+paid.Event, opts, func(ctx context.Context) (string, error) {
		return s.ship(ctx, paid.Order)
	})
	switch {
	case errors.Is(err, lease.ErrInProgress):
		w.Header().Set("Retry-After", "60")
		http.Error(w, "being handled", http.StatusServiceUnavailable)
	case err != nil:
		log.Printf("event %q: %v", paid.Event, err)
		http.Error(w, "not handled", http.StatusInternalServerError) // the next delivery tries again
	default:
		fmt.Fprintln(w, parcel)
	}
}

func (s *shop) ship(_ context.Context, order string) (parcel string, err error) {
	return fmt.Sprintf("parcel %d of order %s", s.shipped.Add(1), order), nil
}

// A webhook is handled once, however often it is delivered. The event's id is the key.
func ExampleDo_webhook() {
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	s := &shop{leases: m}
	for range 2 {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequest("POST", "/webhooks/payments", strings.NewReader(`{"event":"evt_1","order":"A-17"}`)))
		fmt.Print(answer.Code, " ", answer.Body)
	}
	fmt.Println("shipped:", s.shipped.Load())
	// Output:
	// 200 parcel 1 of order A-17
	// 200 parcel 1 of order A-17
	// shipped: 1
}
