package httpserver

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ailease/lease"
)

// Authenticator returns the namespace that the sender of a request may use; "" is the Manager's
// own. It must be safe for concurrent use and must not read the body.
//
// It refuses a sender with an error that wraps [ErrNoAPIKey], answered with 401, or [ErrBadAPIKey],
// answered with 403. Any other error is logged and answered with 503.
type Authenticator func(r *http.Request) (namespace string, err error)

// The errors with which an [Authenticator] refuses a sender.
var (
	ErrNoAPIKey  = errors.New("no API key")
	ErrBadAPIKey = errors.New("invalid API key")
)

func admitAll(*http.Request) (string, error) { return "", nil }

// keyring holds the API keys as hashes: a copy of the process's memory does not reveal them.
type keyring []ringKey

type ringKey struct {
	hash      [sha256.Size]byte
	namespace string
}

const (
	minAPIKeyBytes = 8
	maxAPIKeyBytes = 256
)

// newKeyring returns what is wrong with the keys, or "". The problem quotes neither a key nor a
// namespace: if the two were mistaken for each other, the namespace is a key.
func newKeyring(m *lease.Manager, namespaces map[string]string) (ring keyring, problem string) {
	for key, namespace := range namespaces {
		if len(key) < minAPIKeyBytes || len(key) > maxAPIKeyBytes {
			return nil, fmt.Sprintf("a key has %d bytes, must be from %d to %d", len(key), minAPIKeyBytes, maxAPIKeyBytes)
		}
		if strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, "a key has a character that is not printable ASCII, or a space"
		}
		if _, err := m.InNamespace(namespace); err != nil {
			return nil, "the namespace of a key must have from 1 to 64 of the characters a-z, A-Z, 0-9, '.', '_' and '-'"
		}
		ring = append(ring, ringKey{sha256.Sum256([]byte(key)), namespace})
	}
	if len(ring) == 0 {
		return nil, "0 keys, must be at least 1"
	}
	return ring, ""
}

func (ring keyring) authenticate(r *http.Request) (namespace string, err error) {
	key, err := bearer(r)
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256([]byte(key))
	found := false
	for i := range ring { // all: the time must not tell which one matched
		if subtle.ConstantTimeCompare(hash[:], ring[i].hash[:]) == 1 {
			namespace, found = ring[i].namespace, true
		}
	}
	if !found {
		return "", ErrBadAPIKey
	}
	return namespace, nil
}

// bearer returns the token of RFC 6750, section 2.1. The case of the scheme does not matter.
func bearer(r *http.Request) (string, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", ErrNoAPIKey
	}
	return token, nil
}

// admit finds the Manager of the namespace that the sender may use.
func (c *call) admit() error {
	if err := c.knownHost(c.request); err != nil {
		return err
	}
	if c.open {
		if err := sameOrigin(c.request); err != nil {
			return err
		}
	}
	if len(c.request.Header.Values("Authorization")) > 1 {
		return twiceInHeader("Authorization")
	}
	namespace, err := c.authenticate(c.request)
	if err != nil {
		if errors.Is(err, ErrNoAPIKey) || errors.Is(err, ErrBadAPIKey) {
			return err
		}
		return fmt.Errorf("%w: authenticate: %w", lease.ErrUnavailable, err)
	}
	c.admitted = true
	if c.limits != nil {
		if err := c.limits.take(namespace); err != nil {
			return err
		}
	}
	c.manager = c.handler.manager
	if namespace != "" {
		if c.manager, err = c.manager.InNamespace(namespace); err != nil {
			return fmt.Errorf("%w: authenticate: %v", lease.ErrUnavailable, err)
		}
	}
	return nil
}

// requestID returns the id that was sent if it can be sent back and logged, else a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(r.Header.Values("X-Request-Id")) > 1 || len(id) > 256 || strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "req_" + rand.Text()
	}
	return id
}
