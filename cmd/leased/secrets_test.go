package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ailease/lease/internal/natstest"
)

// canary is a part of every secret here. Nothing that is printed, logged or answered may have it.
const canary = "c4n4ry"

// runShortly runs leased until it serves, or refuses to. It returns all that was printed, and the
// error.
func runShortly(t *testing.T, args []string) (printed string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, log := &output{}, &output{}
	out.wrote = func(text string) {
		if strings.Contains(text, "serving") {
			cancel()
		}
	}
	err = run(ctx, args, out, log)
	return out.String() + log.String(), err
}

// flagNames are those of all flags.
func flagNames(t *testing.T) (names []string) {
	t.Helper()
	fs := flag.NewFlagSet("leased", flag.ContinueOnError)
	new(config).define(fs)
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if len(names) < 15 {
		t.Fatalf("only %d flags: %v", len(names), names)
	}
	return names
}

// TestNoSecretIsPrinted gives a secret to each flag and each variable, in many forms: as one does
// who has mistaken one for the other.
func TestNoSecretIsPrinted(t *testing.T) {
	forms := []string{
		canary, "leased_" + canary, canary + ":" + canary, canary + "@127.0.0.1:1", canary + ":" + canary + "@127.0.0.1:1", "127.0.0.1:" + canary, "/" + canary + "?" + canary,
		"-" + canary, "--" + canary + "=" + canary, "true " + canary, "1" + canary, "a\n" + canary, canary + "\x00", "\xff" + canary,
		"nats://" + canary + "@127.0.0.1:1", "nats://user:" + canary + "@127.0.0.1:1", "nats://user:" + canary + "@127.0.0.1:1,127.0.0.1:2",
		"nats://user:" + canary + "@127.0.0.1:1,other:" + canary + "@127.0.0.1:2", "nats://127.0.0.1:1,other:" + canary + "@127.0.0.1:2",
		"nats://user:" + canary + "/x@127.0.0.1:1", "nats://user:" + canary + "%zz@127.0.0.1:1", "nats://user:" + canary + "#x@127.0.0.1:1", "tls://" + canary + "@127.0.0.1:1",
		"nats://127.0.0.1:1?bucket=" + canary, "nats://127.0.0.1:1?replicas=" + canary, "nats://127.0.0.1:1?token=" + canary, "nats://127.0.0.1:1?" + canary + "=1",
		"sqlite:x.db?busy_timeout=" + canary, "sqlite:x.db?key=" + canary, "sqlite://user:" + canary + "@host/x.db", "memory:?" + canary, "memory:" + "?a=" + canary,
		"postgres://user:" + canary + "@127.0.0.1/x", "redis://:" + canary + "@127.0.0.1", "Bearer " + canary,
	}
	runs, refused := 0, 0
	check := func(t *testing.T, what string, args ...string) {
		t.Helper()
		printed, err := runShortly(t, args)
		if runs++; err != nil {
			refused++
			printed += err.Error()
		}
		if strings.Contains(printed, canary) {
			t.Errorf("%s: printed %s", what, printed)
		}
	}
	for _, name := range flagNames(t) {
		for _, form := range forms {
			if strings.HasPrefix(form, "-") && name != "backend" {
				continue // the same everywhere
			}
			usual := []string{"--addr=127.0.0.1:0", "--backend=memory:"}
			t.Run(fmt.Sprintf("%s %q", name, form), func(t *testing.T) {
				inEmptyFolder(t)
				check(t, "as a flag", append(usual, "--"+name+"="+form)...)
				check(t, "as a flag and its value", append(usual, "--"+name, form)...)
				if strings.ContainsRune(form, 0) {
					return // no variable can have it
				}
				t.Setenv(variable(name), form)
				others := []string{"--backend=memory:"}
				if name != "addr" {
					others = append(others, "--addr=127.0.0.1:0")
				}
				if name == "backend" {
					others = others[1:]
				}
				check(t, "as a variable", others...)
			})
		}
	}
	for _, form := range forms {
		t.Run(fmt.Sprintf("elsewhere %q", form), func(t *testing.T) {
			inEmptyFolder(t)
			usual := []string{"--addr=127.0.0.1:0", "--backend=memory:"}
			check(t, "as an argument", append(usual, form)...)
			check(t, "as an argument before others", append([]string{form}, usual...)...)
			check(t, "as the name of a flag", append(usual, "--"+form)...)
			check(t, "as the value of a flag that is none", append(usual, "--api-key="+form)...)
			check(t, "as the value of a flag that is none", append(usual, "--api-key", form)...)
			if !strings.ContainsRune(form, 0) {
				t.Setenv(apiKeyVariable, form)
				check(t, "as the API key", usual...)
				check(t, "as the API key, and nobody is asked for one", append(usual, "--no-auth")...)
			}
		})
	}
	if runs < 1500 || refused < runs/2 {
		t.Errorf("%d runs, %d of them refused", runs, refused)
	}
}

// TestNoSecretOfAKeyFileIsPrinted, whatever is wrong with the file.
func TestNoSecretOfAKeyFileIsPrinted(t *testing.T) {
	const key = "leased_" + canary + "_ABCDEFGHIJKLMNOPQRSTUV"
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		refused    bool
	}{
		{"a good one", key + " support\n", 0o600, false},
		{"one that all may read", key + " support\n", 0o644, false},
		{"swapped columns", "production " + key + "\n", 0o600, true},
		{"swapped columns, with a key that is no namespace", "production " + key + "+/=\n", 0o600, true},
		{"swapped columns in the second line", key + " support\nproduction " + key + "x\n", 0o600, true},
		{"a key alone", key + "\n", 0o600, true},
		{"three words", key + " " + key + " support\n", 0o600, true},
		{"the same twice", key + " support\n" + key + " other\n", 0o600, true},
		{"the same as in the environment", key + "_env support\n", 0o600, true},
		{"a key too short", canary + " a\n", 0o600, true},
		{"a key too long", strings.Repeat(canary, 50) + " a\n", 0o600, true},
		{"a key that is not ASCII", key + "é a\n", 0o600, true},
		{"a namespace that is none", key + " " + canary + "/a\n", 0o600, true},
		{"as in a shell", "LEASED_API_KEY=" + key + "\n", 0o600, true},
		{"JSON", `{"` + key + `": "support"}` + "\n", 0o600, true},
		{"in UTF-16", "\xff\xfel\x00e\x00" + canary + "\n", 0o600, true},
		{"a comment alone", "# " + key + "\n", 0o600, true},
		{"a line without end", strings.Repeat(canary, 1<<18), 0o600, true},
		{"for the health check", key + " leased.healthz\n", 0o600, true},
	} {
		for _, name := range []string{"by its flag", "by its variable", "by its usual name"} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				inEmptyFolder(t)
				t.Setenv(apiKeyVariable, key+"_env")
				args := []string{"--addr=127.0.0.1:0", "--backend=memory:"}
				file := "keys_" + canary
				switch name {
				case "by its flag":
					args = append(args, "--api-keys", file)
				case "by its variable":
					t.Setenv("LEASED_API_KEYS", file)
				default:
					file = defaultKeyFile
				}
				if err := os.WriteFile(file, []byte(tt.text), tt.mode); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(file, tt.mode); err != nil { // whatever the umask
					t.Fatal(err)
				}
				printed, err := runShortly(t, args)
				if refused := err != nil; refused != tt.refused {
					t.Errorf("error %v, refused should be %t", err, tt.refused)
				}
				if err != nil {
					printed += err.Error()
				}
				if strings.Contains(printed, canary) {
					t.Errorf("printed %s", printed)
				}
			})
		}
	}
}

// TestNoSecretOfAStoreIsPrinted: neither when leased is let in, nor when it is not, nor when the
// store goes away while requests come.
func TestNoSecretOfAStoreIsPrinted(t *testing.T) {
	const password, token = canary + "_password", canary + "_token"
	byPassword, byToken := natstest.Options(t.TempDir()), natstest.Options(t.TempDir())
	byPassword.Username, byPassword.Password = "user_"+canary, password
	byToken.Authorization = token
	for name, tt := range map[string]struct {
		options *server.Options
		user    string // that is let in
	}{
		"a password": {byPassword, "user_" + canary + ":" + password},
		"a token":    {byToken, token},
	} {
		t.Run(name, func(t *testing.T) {
			inEmptyFolder(t)
			t.Setenv(apiKeyVariable, shutdownKey)
			nats := natstest.Start(t, tt.options)
			address := nats.Addr().String()
			for _, wrong := range []string{tt.user + "x", "x" + tt.user, ""} {
				url := "nats://" + wrong + "@" + address
				if wrong == "" {
					url = "nats://" + address + "?bucket=" + canary
				}
				printed, err := runShortly(t, []string{"--addr=127.0.0.1:0", "--backend=" + url})
				if err == nil || strings.Contains(printed+err.Error(), canary) || !strings.Contains(err.Error(), "uthorization") {
					t.Errorf("refused as %q: %v, printed %s", wrong, err, printed)
				}
			}
			d := startDaemon(t, "--backend", "nats://"+tt.user+"@"+address, "--store-timeout", "200ms")
			if !strings.Contains(d.out.String(), "on nats://"+address) {
				t.Errorf("the greeting is %s", d.out)
			}
			if code, a := d.ask(t, shutdownKey, "POST", "/v1/ai/lease", `{"key":"k"}`); code != 200 {
				t.Errorf("%d %v", code, a)
			}
			natstest.Stop(nats)
			for _, path := range []string{"/v1/ai/lease", "/v1/check-lock"} {
				if code, a := d.ask(t, shutdownKey, "POST", path, `{"key":"l"}`); code != 503 || strings.Contains(fmt.Sprint(a), canary) {
					t.Errorf("without its store: %d %v", code, a)
				}
			}
			if err := d.stop(); err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("the end: %v", err)
			}
			if text := d.log.String(); !strings.Contains(text, "level=WARN") || strings.Contains(text+d.out.String(), canary) {
				t.Errorf("printed %s\n%s", d.out, text)
			}
		})
	}
}

// TestNoSecretIsAnswered: neither what leased was given, nor what a client sends as its key.
func TestNoSecretIsAnswered(t *testing.T) {
	inEmptyFolder(t)
	const key = "leased_" + canary
	t.Setenv(apiKeyVariable, key)
	d := startDaemon(t, "--backend", "memory:")
	asked := 0
	for _, sent := range []string{key, key + "x", "", "x" + key} {
		for _, ask := range []struct{ method, path, body string }{
			{"GET", "/v1/ai/status?key=k", ""}, {"GET", "/v1/ai/nothing", ""}, {"PUT", "/v1/ai/lease", ""},
			{"POST", "/v1/ai/lease", `{"key":"k"}`}, {"POST", "/v1/ai/lease", `{`}, {"POST", "/v1/ai/extend", `{"key":"none","lease_id":"x"}`},
		} {
			if _, a := d.ask(t, sent, ask.method, ask.path, ask.body); strings.Contains(fmt.Sprint(a), canary) {
				t.Errorf("%s %s is answered %v", ask.method, ask.path, a)
			}
			asked++
		}
	}
	if err := d.stop(); err != nil {
		t.Error(err)
	}
	if printed := d.out.String() + d.log.String(); strings.Contains(printed, canary) || asked != 24 {
		t.Errorf("%d requests, printed %s", asked, printed)
	}
}

// TestHelpTellsEveryFlag and every variable that matters, and shows no value of theirs.
func TestHelpTellsEveryFlag(t *testing.T) {
	inEmptyFolder(t)
	for _, name := range flagNames(t) {
		t.Setenv(variable(name), canary)
	}
	var b strings.Builder
	if err := run(t.Context(), []string{"--help"}, io.Discard, &b); err == nil {
		t.Error("no error says that help was asked for")
	}
	for _, name := range append(flagNames(t), apiKeyVariable, defaultKeyFile, "/healthz", "(default 4s)") {
		if !strings.Contains(b.String(), name) {
			t.Errorf("no %s in\n%s", name, b.String())
		}
	}
	if strings.Contains(b.String(), canary) {
		t.Errorf("the help shows a variable:\n%s", b.String())
	}
}
