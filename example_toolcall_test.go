package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

type bank struct {
	leases  *lease.Manager
	refunds int
}

// refund is a tool that an agent may call. Money must rather not be paid back than twice. So if the
// process dies in the middle, the call has failed with code "expired", until a person has looked.
func (b *bank) refund(ctx context.Context, conversation string, args json.RawMessage) (string, error) {
	key, err := lease.KeyOf("refund_"+conversation, args)
	if err != nil {
		return "", err
	}
	return lease.Do(ctx, b.leases, key, &lease.DoOptions{AtMostOnce: true}, func(ctx context.Context) (string, error) {
		var r struct {
			Order string
			Cents int
		}
		if err := json.Unmarshal(args, &r); err != nil {
			return "", err
		}
		if r.Cents > 10000 {
			return "", &providerError{"over_limit", "a refund of more than 100 needs a person"}
		}
		b.refunds++ // here the bank is asked, with ctx
		return fmt.Sprintf("refund %d: %d cents for order %s", b.refunds, r.Cents, r.Order), nil
	})
}

// A model calls a tool again if the answer was lost, or if it forgot that it did. It gets the first
// call's result. The key is made of the arguments. Their order and the spaces between them make no
// difference. The conversation is part of the key, so another one may ask for the same.
func ExampleDo_toolCall() {
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	b := &bank{leases: m}
	for _, args := range []string{
		`{"order":"A-17","cents":1999}`,
		`{"cents": 1999, "order": "A-17"}`,
		`{"cents": 500, "order": "A-17"}`,
		`{"cents": 1000000, "order": "A-17"}`,
	} {
		answer, err := b.refund(context.Background(), "chat_42", json.RawMessage(args))
		if errors.Is(err, lease.ErrFailed) {
			answer = "failed, do not try again: " + lease.Code(err) // for the model
		} else if err != nil {
			log.Fatal(err)
		}
		fmt.Println(answer)
	}
	// Output:
	// refund 1: 1999 cents for order A-17
	// refund 1: 1999 cents for order A-17
	// refund 2: 500 cents for order A-17
	// failed, do not try again: over_limit
}
