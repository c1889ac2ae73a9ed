// Quickstart: two processes are asked for the same things. They share one SQLite file.
//
// The first thing is answered by one of them, and the other gets that answer. In the middle of the
// second, a process dies, and the other goes on from its checkpoint.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/sqlite"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) == 2 { // one of the two processes
		if err := agent(context.Background(), os.Args[1]); err != nil {
			log.Fatal(err)
		}
		return
	}
	dir, err := os.MkdirTemp("", "quickstart")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	fmt.Print("Ada and Bob are two processes. Both are asked to answer a chat, then to send a newsletter.\n\n")
	var agents sync.WaitGroup
	var dead atomic.Int32
	for _, name := range []string{"Ada", "Bob"} {
		agents.Go(func() {
			if err := start(name, filepath.Join(dir, "leases.db")); err != nil {
				dead.Add(1)
			}
		})
		time.Sleep(700 * time.Millisecond)
	}
	agents.Wait()
	if n := dead.Load(); n != 1 {
		log.Fatalf("%d processes died, which should have been 1", n)
	}
	fmt.Println("\nThe chat was answered once, and each letter was sent once.")
}

// agent is one process. If it dies, the other waits until its lease is over: here for 1.5 seconds,
// to keep the story short. The default is 30 seconds.
func agent(ctx context.Context, file string) error {
	store, err := sqlite.Open(ctx, file)
	if err != nil {
		return err
	}
	defer store.Close()
	m, err := lease.NewManager(store)
	if err != nil {
		return err
	}
	if l, err := m.Status(ctx, "chat_42"); err == nil && l.State == lease.StateInProgress {
		fmt.Printf("chat_42: waits, another is at it: %s\n", l.Progress)
	}
	opts := &lease.DoOptions{TTL: 1500 * time.Millisecond}
	answer, err := lease.Do(ctx, m, "chat_42", opts, answerChat)
	if err != nil {
		return err
	}
	fmt.Printf("chat_42: the answer is %q\n", answer)
	letters, err := lease.Do(ctx, m, "newsletter", opts, sendNewsletter)
	if err != nil {
		return err
	}
	fmt.Printf("newsletter: %d letters were sent\n", letters)
	return nil
}

func answerChat(ctx context.Context) (string, error) {
	fmt.Println("chat_42: works on it")
	lease.Progress(ctx, "reading 15 messages")
	time.Sleep(1200 * time.Millisecond)
	return "reset your password", nil
}

// sendNewsletter saves how far it is. If it does not get to its end, the next attempt goes on
// there.
func sendNewsletter(ctx context.Context) (int, error) {
	l, _ := lease.FromContext(ctx)
	sent := 0
	if _, err := lease.Load(ctx, &sent); err != nil {
		return 0, err
	}
	fmt.Printf("newsletter: attempt %d begins after letter %d\n", l.Attempt, sent)
	for sent < 4 {
		time.Sleep(200 * time.Millisecond)
		sent++
		fmt.Printf("newsletter: letter %d of 4 is sent\n", sent)
		if err := lease.Save(ctx, sent); err != nil {
			return 0, err // the lease is lost: stop
		}
		if l.Attempt == 1 && sent == 2 {
			os.Exit(1) // no lease is given back, nothing is closed
		}
	}
	return sent, nil
}

// start runs this program as one of the processes, and prints what it says.
func start(name, file string) error {
	say := func(line string) { fmt.Printf("%4.1fs  %s  %s\n", time.Since(begun).Seconds(), name, line) }
	process := exec.Command(os.Args[0], file)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := process.Start(); err != nil {
		log.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		say(lines.Text())
	}
	if err := process.Wait(); err != nil {
		say("dies: " + err.Error())
		return err
	}
	return nil
}

var begun = time.Now()
