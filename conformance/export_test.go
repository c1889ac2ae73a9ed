package conformance

import (
	"slices"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
)

// SetPatience changes how long the suite waits for a step at least.
func SetPatience(d time.Duration) { leastPatience = d }

// RunOnly is [Run] with some of the properties only.
func RunOnly(t *testing.T, names []string, open func(t *testing.T) backend.Backend, opts ...Option) {
	t.Helper()
	all := properties
	defer func() { properties = all }()
	properties = slices.DeleteFunc(slices.Clone(all), func(p property) bool { return !slices.Contains(names, p.name) })
	Run(t, open, opts...)
}

// Names are those of all properties.
func Names() []string {
	var all []string
	for _, p := range properties {
		all = append(all, p.name)
	}
	return all
}

// Promise is what the named property checks, "" if there is no such property.
func Promise(name string) string {
	for _, p := range properties {
		if p.name == name {
			return p.promise
		}
	}
	return ""
}
