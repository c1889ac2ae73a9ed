//go:build race

package runs

// The race detector keeps some memory of every bubble for good: gigabytes for all of them. Some
// hundred show it every path of the code.
const mostSchedules = 500
