//go:build !race

package proof

const simulatedDays = 10_000
