// Package testhook lets package leasetest reach what package lease does not export.
package testhook

import "context"

// Context returns a context that carries l, a lease.Lease, although no Manager has granted it.
// Package lease sets it.
var Context func(ctx context.Context, l any) context.Context
