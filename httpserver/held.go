package httpserver

import "sync/atomic"

// What requests hold in memory at a time is bounded: bodies that are being read or worked on, and
// answers that their clients have not read yet.
//
// The first freeBytes of each body and each answer are not counted. They are about what the
// connection itself takes. So extensions, releases and short completions get through however much
// the others hold, and no lease is lost for want of memory.
const freeBytes = 4 << 10

// bodyWeight is how often a body is counted: it stands in memory once as it was sent, and once more
// as the parts that are stored.
const bodyWeight = 2

// acquireAnswerBytes is the longest answer to an acquire: a checkpoint of 64 KiB, metadata, and the
// rest. It is asked for before the lease is acquired: an answer that is refused afterwards would
// leave a lease that nobody knows of.
const acquireAnswerBytes = 72 << 10

// held counts the bytes that the requests of a handler hold.
type held struct {
	most int64
	now  atomic.Int64
}

// share is what one request holds.
type share struct {
	of *held
	n  int64
}

// grow makes the share n bytes more the free ones, and reports whether there is room. A share that
// becomes smaller always has room.
func (s *share) grow(n int64) bool {
	n = max(0, n-freeBytes)
	if s.of.now.Add(n-s.n) > s.of.most && n > s.n {
		s.of.now.Add(s.n - n)
		return false
	}
	s.n = n
	return true
}

// drop gives the share back.
func (s *share) drop() { s.grow(0) }
