package sqlite

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends"
)

func init() { backends.Register("sqlite", openURL) }

func openURL(ctx context.Context, u *url.URL) (backends.Store, error) {
	path, err := pathOf(u)
	if err != nil {
		return nil, err
	}
	var opts []Option
	err = backends.Query(u, map[string]func(string) string{
		"busy_timeout": func(v string) string {
			d, err := time.ParseDuration(v)
			if err != nil {
				return "a duration such as 5s"
			}
			opts = append(opts, WithBusyTimeout(d))
			return ""
		},
		"synchronous": func(v string) string {
			switch v {
			case "full":
				opts = append(opts, WithSynchronous(Full))
			case "normal":
				opts = append(opts, WithSynchronous(Normal))
			default:
				return "full or normal"
			}
			return ""
		},
	})
	if err != nil {
		return nil, err
	}
	s, err := Open(ctx, path, opts...)
	if err != nil {
		return nil, err // and no *Store that is nil inside a backends.Store
	}
	return s, nil
}

func pathOf(u *url.URL) (string, error) {
	if u.Host != "" || u.User != nil {
		return "", fmt.Errorf("%w: the file's path begins with a host: want three slashes for a full path "+
			"(sqlite:///var/lib/leases.db), none for a relative one (sqlite:leases.db)", backend.ErrInvalid)
	}
	if u.Opaque == "" {
		return u.Path, nil
	}
	path, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return "", fmt.Errorf("%w: the path cannot be parsed: write a '%%' in it as %%25", backend.ErrInvalid)
	}
	return path, nil
}
