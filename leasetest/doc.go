// Package leasetest helps to test programs that use leases.
package leasetest
