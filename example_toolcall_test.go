package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

type bank struct {
	leases  *lease.Manager
	refunds int
}

// refund is a tool that an agent may call. Money must rather not be paid back than twice: if the process dies in the middle, that stands as a
// failure with code "expired", until a person has looked.
func (b *bank) refund(ctx context.Context, conversation string, args json.RawMessage) (string, error) {
	key, err := lease.KeyOf("refund_"+conversation, args)
	if err != nil {
		return "", err
	}
	return lease.Do(ctx, b.leases, key, func(ctx context.Context, _ *lease.Held) (string, error) {
		var r struct {
			Order string
			Cents int
		}
		if err := json.Unmarshal(args, &r); err != nil {
			return "", err
		}
		b.refunds++ // here the bank is asked, with ctx
		return fmt.Sprintf("refund %d: %d cents for order %s", b.refunds, r.Cents, r.Order), nil
	}, lease.WithAcquireOptions(lease.AcquireOptions{TTL: time.Minute, AtMostOnce: true}))
}

// A model that calls a tool again, because the answer was lost or since it forgot that it did, gets the first call's result. The key is made of the arguments; how
// they are written, in which order or with what spaces, makes no difference. The conversation is part of it, so that another may ask for the same.
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
	} {
		answer, err := b.refund(context.Background(), "chat_42", json.RawMessage(args))
		if failed, ok := errors.AsType[*lease.FailedError](err); ok {
			answer = "has failed before, do not try again: " + failed.Code // for the model
		} else if err != nil {
			log.Fatal(err)
		}
		fmt.Println(answer)
	}
	// Output:
	// refund 1: 1999 cents for order A-17
	// refund 1: 1999 cents for order A-17
	// refund 2: 500 cents for order A-17
}
