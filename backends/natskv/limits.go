package natskv

import (
	"fmt"

	"github.com/ailease/lease/backend"
)

// headerBytes is more than a message holds besides the value: the expected number, the TTL and the
// id of the write.
const headerBytes = 512

// leastValueBytes is what a bucket must take: more than a Manager with default limits ever writes.
const leastValueBytes = 320 << 10

// MaxValueBytes is the size of the largest value that the bucket takes, as [backend.ValueLimiter]
// says. It is backend.MaxValueBytes, or less if the server's max_payload or the stream's maximum
// message size is smaller. Unless configured, a server takes messages of 1 MiB. Then the largest
// value has 512 bytes less, for the headers.
func (s *Store) MaxValueBytes() int { return largestValue(s.nc.MaxPayload(), s.mostMsg) }

func largestValue(maxPayload int64, maxMsgSize int) int {
	most := backend.MaxValueBytes
	if maxPayload > 0 {
		most = min(most, int(maxPayload)-headerBytes)
	}
	if maxMsgSize > 0 {
		most = min(most, maxMsgSize-headerBytes)
	}
	return max(0, most)
}

// tooSmall says what to do about a server or bucket that takes too small messages, or "".
func tooSmall(maxPayload int64, maxMsgSize int, bucket string) string {
	const needed = leastValueBytes + headerBytes
	const whole = backend.MaxValueBytes + headerBytes
	switch {
	case largestValue(maxPayload, 0) < leastValueBytes:
		return fmt.Sprintf("the server's max_payload is %d bytes, and leases need %d, or %d for the largest: set max_payload in its configuration, 2MB for instance", maxPayload, needed, whole)
	case largestValue(0, maxMsgSize) < leastValueBytes:
		return fmt.Sprintf("its maximum message size is %d bytes, and leases need %d, or %d for the largest: run: nats stream edit %s --max-msg-size=-1", maxMsgSize, needed, whole, streamName(bucket))
	}
	return ""
}

func tooLarge(size, most int) error {
	return fmt.Errorf("%w: value has %d bytes, and this bucket takes %d: raise the server's max_payload, or the stream's maximum message size, to %d for the largest values",
		backend.ErrInvalid, size, most, backend.MaxValueBytes+headerBytes)
}
