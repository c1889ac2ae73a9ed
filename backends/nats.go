package backends

import (
	"context"
	"net/url"
	"strconv"

	"github.com/ailease/lease/backends/natskv"
)

// openNATS gives the URL without its parameters, user and password included, to nats.go.
func openNATS(ctx context.Context, u *url.URL) (Store, error) {
	var opts []natskv.Option
	err := parameters(u, map[string]func(string) string{
		"bucket": func(v string) string {
			opts = append(opts, natskv.WithBucket(v))
			return ""
		},
		"replicas": func(v string) string {
			n, err := strconv.Atoi(v)
			if err != nil {
				return "a number"
			}
			opts = append(opts, natskv.WithReplicas(n))
			return ""
		},
	})
	if err != nil {
		return nil, err
	}
	server := *u
	server.RawQuery = ""
	s, err := natskv.Open(ctx, server.String(), opts...)
	if err != nil {
		return nil, err
	}
	return s, nil
}
