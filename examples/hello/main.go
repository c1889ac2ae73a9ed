package main

import (
	"context"
	"fmt"
	"log"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory" // or sqlite, for one host; natskv, for many
)

func main() {
	m, err := lease.NewManager(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	answer, err := lease.Do(context.Background(), m, "support_chat_42", nil,
		func(ctx context.Context) (string, error) {
			return "reset your password", nil // minutes of work, which cost money
		})
	fmt.Println(answer, err)
}
