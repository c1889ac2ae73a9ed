package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

type Answer struct {
	Resolution string `json:"resolution"`
	Messages   int    `json:"messages"`
}

// answerChat stands for work that takes minutes and costs money.
func answerChat(_ context.Context, chat int) (Answer, error) {
	if chat == 13 {
		return Answer{}, errors.New("the customer has left")
	}
	fmt.Println("chat", chat, "is answered")
	return Answer{"password reset", 15}, nil
}

// The second caller gets what the first caller's function returned. It would do so on another host
// too, with a store that both share.
func Example() {
	ctx := context.Background()
	m, err := lease.NewManager(memory.New()) // or sqlite.Open, natskv.Open
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		answer, err := lease.Do(ctx, m, "support_chat_42", nil, func(ctx context.Context) (Answer, error) {
			return answerChat(ctx, 42)
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(answer.Resolution)
	}
	// Output:
	// chat 42 is answered
	// password reset
	// password reset
}
