package httpserver

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
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

// newKeyring returns what is wrong with the keys, or "". The problem does not quote a key.
func newKeyring(m *lease.Manager, namespaces map[string]string) (ring keyring, problem string) {
	for _, key := range slices.Sorted(maps.Keys(namespaces)) {
		namespace := namespaces[key]
		if len(key) < minAPIKeyBytes || len(key) > maxAPIKeyBytes {
			return nil, fmt.Sprintf("a key for namespace %q has %d bytes, must be from %d to %d", namespace, len(key), minAPIKeyBytes, maxAPIKeyBytes)
		}
		if strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, fmt.Sprintf("a key for namespace %q has a character that is not printable ASCII, or a space", namespace)
		}
		if _, err := m.InNamespace(namespace); err != nil {
			return nil, cmp.Or(errors.Unwrap(err), err).Error()
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
	for i := range ring { // all, so that the time does not tell which one matched
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

// admit returns the Manager of the namespace that the sender may use.
func (h *Handler) admit(r *http.Request) (*lease.Manager, error) {
	namespace, err := h.authenticate(r)
	if err != nil {
		if errors.Is(err, ErrNoAPIKey) || errors.Is(err, ErrBadAPIKey) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: authenticate: %w", lease.ErrUnavailable, err)
	}
	if h.limits != nil {
		if err := h.limits.take(namespace); err != nil {
			return nil, err
		}
	}
	if namespace == "" {
		return h.manager, nil
	}
	m, err := h.manager.InNamespace(namespace)
	if err != nil {
		return nil, fmt.Errorf("%w: authenticate: %v", lease.ErrUnavailable, err)
	}
	return m, nil
}

// requestID returns the id that was sent if it can be sent back and logged, else a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > 256 || strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "req_" + rand.Text()
	}
	return id
}
