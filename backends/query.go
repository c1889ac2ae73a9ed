package backends

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/ailease/lease/backend"
)

// Query reads the parameters of a URL for an [Opener]. Each parameter that is known has a function,
// which takes its value. If the value will not do, the function returns what is wanted instead, as
// in "a duration such as 5s"; else "".
//
// An error wraps backend.ErrInvalid. It does not quote the URL, which may hold a secret: it names
// only parameters that are known.
func Query(u *url.URL, known map[string]func(value string) (want string)) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("%w: the parameters cannot be parsed: write special characters as %%XX", backend.ErrInvalid)
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		take, values := known[name], query[name]
		switch {
		case take == nil:
			names := strings.Join(slices.Sorted(maps.Keys(known)), ", ")
			if names == "" {
				names = "none"
			}
			return fmt.Errorf("%w: a parameter is unknown, known: %s", backend.ErrInvalid, names)
		case len(values) > 1:
			return fmt.Errorf("%w: parameter %q is given %d times, want it once", backend.ErrInvalid, name, len(values))
		}
		if want := take(values[0]); want != "" {
			return fmt.Errorf("%w: parameter %q must be %s", backend.ErrInvalid, name, want)
		}
	}
	return nil
}
