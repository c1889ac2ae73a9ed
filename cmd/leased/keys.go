package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"strings"
)

const (
	defaultKeyFile   = "leased.keys"
	defaultNamespace = "default"
	maxKeyFileBytes  = 1 << 20
)

// The forms of keys and namespaces, which package httpserver checks too. Here the line can be told.
var (
	keyForm       = regexp.MustCompile(`^[!-~]{8,256}$`)
	namespaceForm = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,64}$`)
)

// apiKeys returns the keys that are admitted, each with its namespace: those of the key file, and
// the one of LEASED_API_KEY. If there are neither, it makes one and prints it on out. Errors and
// the log tell no key, no namespace, which may be a key in the wrong column, and no name of a file,
// which may be a key in the wrong variable.
func (c *config) apiKeys(ctx context.Context, out io.Writer, log *slog.Logger) (map[string]string, error) {
	keys := make(map[string]string)
	if c.apiKey != "" && !keyForm.MatchString(c.apiKey) {
		return nil, fmt.Errorf("%s has %d bytes: want 8 to 256 characters of printable ASCII without spaces", apiKeyVariable, len(c.apiKey))
	}
	switch {
	case c.keyFile != "":
		if err := readKeys(ctx, c.keyFile, "the file of "+named("api-keys"), keys, log); err != nil {
			return nil, err
		}
	default:
		if c.apiKey == "" {
			made, err := makeKey(defaultKeyFile)
			if err != nil {
				return nil, err
			}
			if made != "" {
				fmt.Fprintf(out, "made an API key for the namespace %q, kept in %s: %s\n", defaultNamespace, defaultKeyFile, made)
			}
		}
		err := readKeys(ctx, defaultKeyFile, defaultKeyFile, keys, log)
		if absent := errors.Is(err, fs.ErrNotExist) && c.apiKey != ""; err != nil && !absent {
			return nil, err
		}
		if err == nil {
			fmt.Fprintf(out, "API keys are those in %s\n", defaultKeyFile)
		}
	}
	if c.apiKey != "" {
		if namespace, there := keys[c.apiKey]; there && namespace != defaultNamespace {
			return nil, fmt.Errorf("the key of %s stands in the key file too, for another namespace than %q: remove one of the two", apiKeyVariable, defaultNamespace)
		}
		keys[c.apiKey] = defaultNamespace
	}
	return keys, nil
}

// makeKey writes a file with a new key that only its owner can read. It returns "" if the file
// exists. The file is there with its key or not at all: others may be starting at the same time.
func makeKey(name string) (string, error) {
	if _, err := os.Lstat(name); err == nil {
		return "", nil
	}
	failed := func(err error) (string, error) {
		return "", fmt.Errorf("make the API key file %s: %w (or set %s)", name, withoutPath(err), apiKeyVariable)
	}
	f, err := os.CreateTemp(".", "."+name+"-*") // for its owner alone
	if err != nil {
		return failed(err)
	}
	defer os.Remove(f.Name())
	key := "leased_" + rand.Text()
	_, err = fmt.Fprintf(f, "# API keys of leased: a key and its namespace on each line\n%s %s\n", key, defaultNamespace)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return failed(err)
	}
	switch err := os.Link(f.Name(), name); { // unlike a rename it replaces nothing
	case errors.Is(err, fs.ErrExist):
		return "", nil
	case err != nil:
		return failed(err)
	}
	return key, nil
}

// readKeys reads the keys of a file, which errors call what.
func readKeys(ctx context.Context, name, what string, into map[string]string, log *slog.Logger) error {
	text, mode, err := readFile(ctx, name)
	if err != nil {
		return fmt.Errorf("read the API key file: %s: %w (it has an API key and its namespace on each line; a key alone belongs into %s)", what, withoutPath(err), apiKeyVariable)
	}
	if mode.Perm()&0o077 != 0 && mode.IsRegular() {
		log.Warn("other users of this machine can read the API keys: chmod 600 "+what, "mode", mode.Perm().String())
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if problem := badLine(fields, into); problem != "" {
			return fmt.Errorf("%s, line %d: %s", what, n, problem)
		}
		into[fields[0]] = fields[1]
	}
	if len(into) == 0 {
		return fmt.Errorf("%s has no API key: write one and its namespace on a line", what)
	}
	return nil
}

// badLine says what is wrong with a line of a key file, or "".
func badLine(fields []string, before map[string]string) string {
	if len(fields) != 2 {
		return fmt.Sprintf("%d words, want two: an API key and its namespace", len(fields))
	}
	key, namespace := fields[0], fields[1]
	_, twice := before[key]
	switch {
	case len(key) <= len(namespace):
		// A good line with swapped columns ends here. Else the namespace, which is no
		// secret, would be admitted as a key.
		return fmt.Sprintf("the first word has %d bytes and the second %d: an API key comes first, and must be longer than its namespace's name", len(key), len(namespace))
	case !keyForm.MatchString(key):
		return fmt.Sprintf("the API key has %d bytes: want 8 to 256 characters of printable ASCII", len(key))
	case !namespaceForm.MatchString(namespace):
		return "the namespace must have from 1 to 64 of the characters a-z, A-Z, 0-9, '.', '_' and '-'"
	case namespace == healthNamespace:
		return "this namespace is kept for health checks"
	case twice:
		return "this API key stands in the file twice"
	}
	return ""
}

// readFile reads a file of no great length. It may be a pipe, which nobody may ever write to, and
// so it ends with ctx.
func readFile(ctx context.Context, name string) (text string, mode fs.FileMode, err error) {
	type content struct {
		text string
		mode fs.FileMode
		err  error
	}
	read := make(chan content, 1)
	go func() {
		f, err := os.Open(name)
		if err != nil {
			read <- content{err: err}
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			read <- content{err: err}
			return
		}
		b, err := io.ReadAll(io.LimitReader(f, maxKeyFileBytes+1))
		if err == nil && len(b) > maxKeyFileBytes {
			err = fmt.Errorf("it has more than %d bytes", maxKeyFileBytes)
		}
		read <- content{string(b), info.Mode(), err}
	}()
	select {
	case c := <-read:
		return c.text, c.mode, c.err
	case <-ctx.Done():
		return "", 0, ctx.Err()
	}
}

// withoutPath is what is wrong with a file, without its name.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
