package timeline

import (
	"math"
	"sync/atomic"
	"time"
)

// rate bounds what is noted, and so what timelines take of the machine and of the store. It is a
// token bucket in units of time: an entry takes a part of a second, and more once its write has
// shown that the store needs more. An entry that it refuses has cost nothing yet.
type rate struct {
	every time.Duration // what an entry takes at least
	room  time.Duration // what the bucket holds
	fixed bool          // entries take no more than that, whatever the store needs
	begun time.Time
	full  atomic.Int64 // when the bucket will be full, since begun

	refused atomic.Uint64
}

const (
	// defaultRate is how many entries are taken in a second unless WithRate says otherwise.
	defaultRate = 1000

	// leastBurst is what the bucket holds if the buffer holds less.
	leastBurst = 1000

	// share is the part of the time, one in so many, that the store may need for notes.
	share = 10

	// mostPerEntry bounds what is held to be the cost of an entry. What lasts longer was held up by
	// something else.
	mostPerEntry = 10 * time.Millisecond

	// mostClosed is for how long one write, of a burst perhaps, can have entries refused.
	mostClosed = 2 * time.Second
)

// set fills the bucket, which has room for a burst. perSecond is 0 for the default.
func (r *rate) set(perSecond, burst int) {
	if r.fixed = perSecond > 0; !r.fixed {
		perSecond = defaultRate
	}
	r.every = time.Second / time.Duration(perSecond)
	r.room = math.MaxInt64 / 4
	burst = max(burst, leastBurst)
	if r.every < r.room/time.Duration(burst) {
		r.room = r.every * time.Duration(burst)
	}
	r.begun = time.Now()
}

// take takes an entry, or refuses it and counts it.
func (r *rate) take() bool {
	now := int64(time.Since(r.begun))
	for {
		full := r.full.Load()
		then := max(full, now) + int64(r.every)
		if then-now > int64(r.room) {
			r.refused.Add(1)
			return false
		}
		if r.full.CompareAndSwap(full, then) {
			return true
		}
	}
}

// spent says that the write of some entries lasted d.
func (r *rate) spent(d time.Duration, entries int) {
	n := time.Duration(entries)
	more := share*min(d, n*mostPerEntry) - n*r.every
	if r.fixed || more <= 0 {
		return
	}
	now := int64(time.Since(r.begun))
	for {
		full := r.full.Load()
		then := min(max(full, now)+int64(more), max(full, now+int64(r.room+mostClosed)))
		if r.full.CompareAndSwap(full, then) {
			return
		}
	}
}
