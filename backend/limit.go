package backend

// ValueLimiter is a [Backend] whose store may be configured to take less than [MaxValueBytes]. A
// larger value than it says is refused with [ErrInvalid], and nothing is written.
type ValueLimiter interface {
	// MaxValueBytes is the size of the largest value that the store takes.
	MaxValueBytes() int
}
