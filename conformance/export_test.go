package conformance

import "time"

// SetSoon changes how long the suite waits for what must happen.
func SetSoon(d time.Duration) { soon = d }

// Promise is what the named property checks, "" if there is no such property.
func Promise(name string) string {
	for _, p := range properties {
		if p.name == name {
			return p.promise
		}
	}
	return ""
}
