package backends

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/ailease/lease/backend"
)

// parameters reads a URL's query. Each parameter has a function that takes its value, and names what it wants if it will not.
func parameters(u *url.URL, take map[string]func(value string) (want string)) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("%w: the query cannot be parsed: %w", backend.ErrInvalid, err)
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		f := take[name]
		if f == nil {
			known := strings.Join(slices.Sorted(maps.Keys(take)), ", ")
			if known == "" {
				known = "none"
			}
			return fmt.Errorf("%w: unknown parameter %q, known: %s", backend.ErrInvalid, name, known)
		}
		if len(query[name]) > 1 {
			return fmt.Errorf("%w: parameter %q is given %d times, want it once", backend.ErrInvalid, name, len(query[name]))
		}
		if want := f(query.Get(name)); want != "" {
			return fmt.Errorf("%w: parameter %q is %q, want %s", backend.ErrInvalid, name, query.Get(name), want)
		}
	}
	return nil
}
