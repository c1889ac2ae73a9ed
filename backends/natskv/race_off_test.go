//go:build !race

package natskv_test

const raceEnabled = false
