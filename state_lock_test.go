package lease

import (
	"testing"
	"time"
)

// locked is the record of a lock, for one minute from t0.
func locked() *record {
	return then(nil, 0, &command{verb: verbLock, op: "op_1", ttl: ttl, metadata: []byte(`{"m":1}`), nonce: "mine"})
}

// TestLockTable is the table's like for locks, which know one verb.
func TestLockTable(t *testing.T) {
	const long = 2 * ttl // of the lock that is asked for
	for _, tt := range []struct {
		name string
		r    *record
		skew time.Duration
		at   time.Duration // since t0
		by   string        // the nonce
		want outcome
	}{
		{"no record: locked", nil, 0, 0, "", outAcquired},
		{"locked: duplicate", locked(), 0, 0, "", outDuplicate},
		{"locked, another nonce: duplicate", locked(), 0, 0, "other", outDuplicate},
		{"locked, same nonce: locked again", locked(), 0, ttl - 1, "mine", outAcquiredAgain},
		{"locked to the last nanosecond: duplicate", locked(), 0, ttl - 1, "", outDuplicate},
		{"over: locked anew", locked(), 0, ttl, "", outAcquired},
		{"over, same nonce: locked anew, for the lock is over", locked(), 0, ttl, "mine", outAcquired},
		{"over within the clock skew: duplicate", locked(), 10 * time.Second, ttl + 10*time.Second - 1, "", outDuplicate},
		{"over within the clock skew, same nonce: locked again", locked(), 10 * time.Second, ttl + 10*time.Second - 1, "mine", outAcquiredAgain},
		{"over beyond the clock skew: locked anew", locked(), 10 * time.Second, ttl + 10*time.Second, "", outAcquired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := t0.Add(tt.at)
			got, out, err := step(tt.r, &command{verb: verbLock, op: "op_2", ttl: long, skew: tt.skew, nonce: tt.by}, at)
			if err != nil || out != tt.want {
				t.Fatalf("outcome is %v, %v; want %v", out, err, tt.want)
			}
			if !out.writes() {
				same(t, got, locked())
				return
			}
			want := &record{
				Format: 1, State: stateLocked, Version: 1, Attempt: 1, TTL: long,
				Deadline: at.Add(long), FirstSeenAt: at, AcquiredAt: at, KeepUntil: at.Add(long), Nonce: tt.by, Op: "op_2",
			}
			if tt.r != nil {
				want.PrevOp = "op_1"
			}
			same(t, got, want)
		})
	}
}
