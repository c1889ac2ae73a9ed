package backends

import (
	"context"
	"fmt"
	"net/url"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

func openMemory(_ context.Context, u *url.URL) (Store, error) {
	if u.Host != "" || u.Path != "" || u.Opaque != "" {
		return nil, fmt.Errorf("%w: a store in memory has no name, want just %q", backend.ErrInvalid, "memory:")
	}
	if err := parameters(u, nil); err != nil {
		return nil, err
	}
	return memory.New(), nil
}
