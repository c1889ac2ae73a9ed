package natskv

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends"
)

func init() {
	backends.Register("nats", openURL)
	backends.Register("tls", openURL)
}

// openURL opens the bucket on a server, or on one of several with commas between them. User and
// password, or a token, stand once and are for all.
func openURL(ctx context.Context, u *url.URL) (backends.Store, error) {
	var opts []Option
	err := backends.Query(u, map[string]func(string) string{
		"bucket": func(v string) string {
			opts = append(opts, WithBucket(v))
			return ""
		},
		"replicas": func(v string) string {
			n, err := strconv.Atoi(v)
			if err != nil {
				return "a number"
			}
			opts = append(opts, WithReplicas(n))
			return ""
		},
	})
	if err != nil {
		return nil, err
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%w: no server is named, want nats://host:4222, or several with commas between", backend.ErrInvalid)
	}
	// The client splits at commas, also inside a password. So credentials do not go through its
	// URLs.
	if password, ok := u.User.Password(); ok {
		opts = append(opts, WithConnectOptions(nats.UserInfo(u.User.Username(), password)))
	} else if token := u.User.Username(); token != "" {
		opts = append(opts, WithConnectOptions(nats.Token(token)))
	}
	servers := strings.Split(u.Host, ",")
	for i, host := range servers {
		servers[i] = u.Scheme + "://" + host
	}
	s, err := Open(ctx, strings.Join(servers, ","), opts...)
	if err != nil {
		return nil, err // and no *Store that is nil inside a backends.Store
	}
	return s, nil
}
