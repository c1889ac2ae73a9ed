package backends

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

func openSQLite(ctx context.Context, u *url.URL) (Store, error) {
	if u.Host != "" || u.User != nil {
		return nil, fmt.Errorf("%w: the file's path begins with a host, %q: want three slashes for a full path (sqlite:///var/lib/leases.db), none for a relative one (sqlite:leases.db)", backend.ErrInvalid, u.Host)
	}
	path := u.Path
	if u.Opaque != "" {
		var err error
		if path, err = url.PathUnescape(u.Opaque); err != nil {
			return nil, fmt.Errorf("%w: the path cannot be parsed: %w", backend.ErrInvalid, err)
		}
	}
	var opts []sqlite.Option
	err := parameters(u, map[string]func(string) string{
		"busy_timeout": func(v string) string {
			d, err := time.ParseDuration(v)
			if err != nil {
				return "a duration such as 5s"
			}
			opts = append(opts, sqlite.WithBusyTimeout(d))
			return ""
		},
		"synchronous": func(v string) string {
			switch v {
			case "full":
				opts = append(opts, sqlite.WithSynchronous(sqlite.Full))
			case "normal":
				opts = append(opts, sqlite.WithSynchronous(sqlite.Normal))
			default:
				return "full or normal"
			}
			return ""
		},
	})
	if err != nil {
		return nil, err
	}
	s, err := sqlite.Open(ctx, path, opts...)
	if err != nil {
		return nil, err
	}
	return s, nil
}
