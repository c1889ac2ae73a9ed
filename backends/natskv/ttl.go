package natskv

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// expire has the server drop m after keep, if it can.
func (s *Store) expire(m *nats.Msg, keep time.Duration) {
	if ttl := wholeSeconds(keep); ttl > 0 && s.expires {
		m.Header[jetstream.MsgTTLHeader] = []string{strconv.FormatInt(ttl, 10) + "s"}
	}
}

// wholeSeconds rounds up, since the server cuts fractions off. 0 is for ever, and so is what is
// longer than the server can count.
func wholeSeconds(keep time.Duration) int64 {
	const most = 200 * 365 * 24 * 60 * 60
	n := int64(keep / time.Second)
	if keep%time.Second > 0 {
		n++
	}
	if n > most {
		return 0
	}
	return n
}
