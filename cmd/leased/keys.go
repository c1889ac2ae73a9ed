package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

const (
	defaultKeyFile   = "leased.keys"
	defaultNamespace = "default"
)

// apiKeys returns the keys that are admitted, each with its namespace. If none are configured, it
// makes one and prints it on out.
func (c *config) apiKeys(out io.Writer, log *slog.Logger) (map[string]string, error) {
	keys := make(map[string]string)
	switch {
	case c.keyFile != "":
		if err := readKeys(c.keyFile, keys, log); err != nil {
			return nil, err
		}
	case c.apiKey == "":
		made, err := makeKey(defaultKeyFile)
		if err != nil {
			return nil, err
		}
		if made != "" {
			fmt.Fprintf(out, "made an API key for the namespace %q, kept in %s: %s\n", defaultNamespace, defaultKeyFile, made)
		} else {
			fmt.Fprintf(out, "API keys are those in %s\n", defaultKeyFile)
		}
		if err := readKeys(defaultKeyFile, keys, log); err != nil {
			return nil, err
		}
	}
	if c.apiKey != "" {
		keys[c.apiKey] = defaultNamespace
	}
	return keys, nil
}

// keySource says where the API keys come from, for error messages.
func (c *config) keySource() string {
	switch {
	case c.keyFile != "" && c.apiKey != "":
		return c.keyFile + " and LEASED_API_KEY"
	case c.keyFile != "":
		return c.keyFile
	case c.apiKey != "":
		return "LEASED_API_KEY"
	default:
		return defaultKeyFile
	}
}

// makeKey writes a file with a new key that only its owner can read. It returns "" if the file
// exists.
func makeKey(name string) (string, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("make the API key file: %w (or set LEASED_API_KEY)", err)
	}
	key := "leased_" + rand.Text()
	_, err = fmt.Fprintf(f, "# API keys of leased: a key and its namespace on each line\n%s %s\n", key, defaultNamespace)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write the API key file: %w", err), os.Remove(name))
	}
	return key, nil
}

func readKeys(name string, into map[string]string, log *slog.Logger) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read the API key file: %w (it has an API key and its namespace on each line)", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("other users of this machine can read the API keys: chmod 600 the file", "file", name, "mode", info.Mode().Perm().String())
	}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		switch len(fields) {
		case 0:
			continue
		case 2:
		default:
			return fmt.Errorf("%s, line %d: %d words, want two: an API key and its namespace", name, n, len(fields))
		}
		if _, twice := into[fields[0]]; twice {
			return fmt.Errorf("%s, line %d: this API key stands in the file twice", name, n)
		}
		into[fields[0]] = fields[1]
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the API key file %s: %w", name, err)
	}
	if len(into) == 0 {
		return fmt.Errorf("%s has no API key: write one and its namespace on a line, or remove the file", name)
	}
	return nil
}
