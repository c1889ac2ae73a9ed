package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ailease/lease/internal/natstest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestWhichKeysAreAdmitted, from the file and from the environment.
func TestWhichKeysAreAdmitted(t *testing.T) {
	const ours, theirs, env = "the_key_in_our_file", "another_key_in_it", "the_key_in_the_environment"
	const both = ours + " support\n" + theirs + " billing\n"
	for _, tt := range []struct {
		name, file string // the text of the file; "" if there is none
		env        string
		want       map[string]string
		says       string // the error
	}{
		{"only the environment", "", env, map[string]string{env: "default"}, ""},
		{"only the file", both, "", map[string]string{ours: "support", theirs: "billing"}, ""},
		{"one key more", both, env, map[string]string{ours: "support", theirs: "billing", env: "default"}, ""},
		{"one key in both, for two namespaces", both, ours, nil, "for another namespace"},
		{"one key in both, for one namespace", ours + " default\n", ours, map[string]string{ours: "default"}, ""},
		{"an empty file", "\n", "", nil, "has no API key"},
		{"an empty file, and the environment", "# none\n", env, nil, "has no API key"},
	} {
		for _, file := range []string{defaultKeyFile, "other.keys"} {
			t.Run(tt.name+", "+file, func(t *testing.T) {
				inEmptyFolder(t)
				c := config{apiKey: tt.env}
				if tt.file != "" {
					if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
						t.Fatal(err)
					}
					if file != defaultKeyFile {
						c.keyFile = file
					}
				}
				keys, err := c.apiKeys(t.Context(), io.Discard, quiet())
				if tt.says != "" {
					if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "remove the file") {
						t.Errorf("error %v, want one that says %q", err, tt.says)
					}
					return
				}
				if err != nil || len(keys) != len(tt.want) {
					t.Errorf("%v, %v, want %v", keys, err, tt.want)
				}
				for key, namespace := range tt.want {
					if keys[key] != namespace {
						t.Errorf("%s is for %q, want %q", key, keys[key], namespace)
					}
				}
				if made, _ := filepath.Glob("*"); tt.file == "" && len(made) > 0 {
					t.Errorf("made %v", made)
				}
			})
		}
	}
}

// TestSwappedColumnsAreNoticed: whatever a good line is, it is none with its words swapped.
func TestSwappedColumnsAreNoticed(t *testing.T) {
	good := 0
	for _, key := range []string{"12345678", "production", "leased_ABCDEFGHIJKLMNOPQRSTUVWXYZ", strings.Repeat("k", 256), "short"} {
		for _, namespace := range []string{"a", "default", "1234567", "production", "customer-support.emea", strings.Repeat("n", 64)} {
			if badLine([]string{key, namespace}, nil) != "" {
				continue
			}
			if good++; badLine([]string{namespace, key}, nil) == "" {
				t.Errorf("%s is admitted as a key", namespace)
			}
		}
	}
	if good < 10 {
		t.Errorf("only %d good lines", good)
	}
}

// TestManyStartAtOnceInAnEmptyFolder: one makes the key, and all of them admit it.
func TestManyStartAtOnceInAnEmptyFolder(t *testing.T) {
	for range 20 {
		inEmptyFolder(t)
		const daemons = 6
		var all sync.WaitGroup
		var made output
		var mu sync.Mutex
		admitted := make(map[string]int)
		for range daemons {
			all.Go(func() {
				keys, err := new(config).apiKeys(t.Context(), &made, quiet())
				if err != nil || len(keys) != 1 {
					t.Errorf("%v, %v", keys, err)
				}
				mu.Lock()
				defer mu.Unlock()
				for key := range keys {
					admitted[key]++
				}
			})
		}
		all.Wait()
		if n := strings.Count(made.String(), "made an API key"); n != 1 || len(admitted) != 1 {
			t.Errorf("%d keys were made, %d are admitted", n, len(admitted))
		}
		if left, _ := filepath.Glob(".leased*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// TestManyDaemonsStartAtOnceInAnEmptyFolder, with all that they make there: each serves, and each
// admits the one key that was made.
func TestManyDaemonsStartAtOnceInAnEmptyFolder(t *testing.T) {
	inEmptyFolder(t)
	ctx, cancel := context.WithCancel(t.Context())
	const daemons = 6
	var outs [daemons]output
	ended := make(chan error, daemons)
	for i := range outs {
		go func() { ended <- run(ctx, []string{"--addr", "127.0.0.1:0"}, &outs[i], io.Discard) }()
	}
	serving := regexp.MustCompile(`serving (http://\S+)`)
	made := regexp.MustCompile(`made an API key .*: (\S+)`)
	var urls, keys []string
	for i := range outs {
		natstest.Eventually(t, "each serves or has ended", func() bool { return len(ended) > 0 || serving.MatchString(outs[i].String()) })
		if m := made.FindStringSubmatch(outs[i].String()); m != nil {
			keys = append(keys, m[1])
		}
		if m := serving.FindStringSubmatch(outs[i].String()); m != nil {
			urls = append(urls, m[1])
		}
	}
	if len(urls) != daemons || len(keys) != 1 {
		t.Fatalf("%d daemons serve, %d keys were made; one ended: %v", len(urls), len(keys), <-ended)
	}
	for i, url := range urls {
		if code, a := (&daemon{url: url}).ask(t, keys[0], "POST", "/v1/ai/lease", `{"key":"k"}`); code != 200 || a["status"] == "acquired" != (i == 0) {
			t.Errorf("%s: %d %v", url, code, a)
		}
	}
	cancel()
	for range daemons {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestAKeyThatCannotBeKept is not made, and the error names the variable that does without a file.
func TestAKeyThatCannotBeKept(t *testing.T) {
	inEmptyFolder(t)
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	var out output
	_, err = new(config).apiKeys(t.Context(), &out, quiet())
	if err == nil || !strings.Contains(err.Error(), "make the API key file leased.keys: no such file or directory (or set LEASED_API_KEY)") || out.String() != "" {
		t.Errorf("%v, printed %s", err, &out)
	}
}

// TestAKeyFileThatIsAPipe can be interrupted before anybody has written to it, or half-way, and is
// read once somebody has.
func TestAKeyFileThatIsAPipe(t *testing.T) {
	inEmptyFolder(t)
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "half_of_the_key"} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- run(ctx, []string{"--addr", "127.0.0.1:0", "--backend", "memory:", "--api-keys", "pipe"}, io.Discard, io.Discard)
		}()
		natstest.Eventually(t, "the file is opened", func() bool { return stackOf("leased.readFile") })
		var to *os.File
		if text != "" {
			var err error
			if to, err = os.OpenFile("pipe", os.O_WRONLY, 0); err != nil {
				t.Fatal(err)
			}
			io.WriteString(to, text)
		}
		cancel()
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "context canceled") {
				t.Errorf("after %q: %v", text, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("after %q, leased does not end", text)
		}
		if to == nil { // lets the reader that was left behind go
			if to, _ = os.OpenFile("pipe", os.O_WRONLY, 0); to == nil {
				t.Fatal("the pipe has no reader")
			}
		}
		to.Close()
		natstest.Eventually(t, "the reader has gone", func() bool { return !stackOf("leased.readFile") })
	}
	go os.WriteFile("pipe", []byte("a_key_from_a_pipe a\n"), 0o600)
	keys, err := (&config{keyFile: "pipe"}).apiKeys(t.Context(), io.Discard, quiet())
	if err != nil || keys["a_key_from_a_pipe"] != "a" {
		t.Errorf("%v, %v", keys, err)
	}
}
