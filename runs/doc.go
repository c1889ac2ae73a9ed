// Package runs executes keyed work in the background. A run is a lease whose work is done by a
// worker instead of by the caller.
package runs
