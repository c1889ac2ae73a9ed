package backend

// As returns the first T among b and what b wraps, from the outside inwards, as errors.As does for
// errors. T is an optional capability such as [Lister] or [Watcher], or the type of a store.
//
// A backend wraps another if it has a method Unwrap() [Backend]. A wrapper without that method
// hides what it wraps, and so does one that returns nil.
func As[T any](b Backend) (found T, ok bool) {
	for b != nil {
		if found, ok := b.(T); ok {
			return found, true
		}
		wrapper, ok := b.(interface{ Unwrap() Backend })
		if !ok {
			break
		}
		b = wrapper.Unwrap()
	}
	return found, false
}
