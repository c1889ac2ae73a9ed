package memory

import (
	"context"
	"fmt"
	"net/url"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends"
)

func init() { backends.Register("memory", openURL) }

// openURL opens a store of its own for each call: what has no name cannot be shared.
func openURL(_ context.Context, u *url.URL) (backends.Store, error) {
	if u.Host != "" || u.User != nil || u.Path != "" || u.Opaque != "" {
		return nil, fmt.Errorf("%w: a store in memory has no name, want just %q", backend.ErrInvalid, "memory:")
	}
	if err := backends.Query(u, nil); err != nil {
		return nil, err
	}
	return New(), nil
}
