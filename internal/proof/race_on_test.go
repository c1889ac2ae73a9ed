//go:build race

package proof

// simulatedDays are fewer where each takes ten times as long.
const simulatedDays = 1_000
