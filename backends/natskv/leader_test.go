package natskv

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// TestVouch: what is asked for, once or again, before an answer is believed.
func TestVouch(t *testing.T) {
	type what struct{ infos, fences int }
	for _, tt := range []struct {
		name     string
		single   bool
		led      time.Duration // the leader has
		heard    time.Duration // from the others, ago
		behind   bool          // the leader has not the write that was taken last
		written  time.Duration // the last write of ours, ago; 0: none
		refuses  error         // the fence
		want     error
		costs    what // of one answer
		again    what // of ten more, at once
		muchLate what // of one more, when window has passed
	}{
		{name: "one server", single: true, costs: what{1, 0}, muchLate: what{1, 0}},
		{name: "a leader of long standing that has our last write", led: time.Hour, written: time.Second, costs: what{1, 0}, muchLate: what{1, 1}},
		{name: "nothing was written of late", led: time.Hour, written: window, costs: what{1, 1}, again: what{1, 0}, muchLate: what{1, 1}},
		{name: "nothing was written yet", led: time.Hour, costs: what{1, 1}, again: what{1, 0}, muchLate: what{1, 1}},
		{name: "another may believe that it leads", led: deposedFor - 2*window, written: time.Second, costs: what{1, 1}, again: what{0, 10}, muchLate: what{0, 1}},
		{name: "so it may for a moment more", led: deposedFor - time.Second, written: time.Second, costs: what{1, 1}, again: what{0, 10}, muchLate: what{1, 1}},
		{name: "the server does not tell since when it leads", led: -1, written: time.Second, costs: what{1, 1}, again: what{0, 10}, muchLate: what{0, 1}},
		{name: "it says that it leads, and has not what was written", led: time.Hour, written: time.Second, behind: true, costs: what{1, 1}, again: what{10, 10}, muchLate: what{1, 1}},
		{name: "it has heard from nobody", led: time.Hour, heard: window, written: time.Second, want: errNoMajority, costs: what{1, 0}, again: what{10, 0}, muchLate: what{1, 0}},
		{name: "it is another number", led: time.Second, refuses: backend.ErrConflict, want: backend.ErrConflict, costs: what{1, 1}, again: what{0, 10}, muchLate: what{0, 1}},
		{name: "the fence is refused", led: time.Second, refuses: errNotConnected, want: errNotConnected, costs: what{1, 1}, again: what{0, 10}, muchLate: what{0, 1}},
		{name: "nobody can write", led: time.Second, refuses: errFull, costs: what{2, 1}, again: what{10, 10}, muchLate: what{1, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Hour)
				number := uint64(7) // of the last write of the stream
				var cost what
				since := time.Now().Add(-tt.led)
				l := newLeader(&Store{}, !tt.single)
				l.info = func(context.Context) (*jetstream.StreamInfo, error) {
					cost.infos++
					info := &jetstream.StreamInfo{TimeStamp: time.Now(), State: jetstream.StreamState{LastSeq: number}}
					if !tt.single {
						info.Cluster = &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{{Active: tt.heard + 1}, {Active: time.Hour}}}
						if tt.led >= 0 {
							info.Cluster.LeaderSince = &since
						}
					}
					if tt.behind {
						info.State.LastSeq = 6
					}
					return info, nil
				}
				l.fence = func(context.Context, string, uint64) (written, error) {
					cost.fences++
					if tt.refuses != nil {
						return written{}, tt.refuses
					}
					number++
					return written{time.Now(), number}, nil
				}
				if tt.written > 0 {
					l.took(written{time.Now().Add(-tt.written), number})
				}
				vouch := func(times int, want what) {
					t.Helper()
					cost = what{}
					for range times {
						time.Sleep(time.Microsecond) // or it would be asked for at the time of the fence before
						if err := l.vouch(t.Context(), time.Now(), "k", 1); !errors.Is(err, tt.want) {
							t.Errorf("%v, want %v", err, tt.want)
						}
					}
					if cost != want {
						t.Errorf("%d answers cost %+v, want %+v", times, cost, want)
					}
				}
				vouch(1, tt.costs)
				vouch(10, tt.again)
				time.Sleep(window)
				vouch(1, tt.muchLate)
			})
		})
	}
}

func TestSilence(t *testing.T) {
	heard := func(ago time.Duration) *jetstream.PeerInfo { return &jetstream.PeerInfo{Active: ago} }
	never, offline := heard(0), &jetstream.PeerInfo{Active: time.Second, Offline: true}
	for _, tt := range []struct {
		name    string
		cluster *jetstream.ClusterInfo
		want    time.Duration
	}{
		{"no cluster", nil, 0},
		{"no replicas", &jetstream.ClusterInfo{}, 0},
		{"three, of which the better of two counts", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{heard(9 * time.Second), heard(time.Second)}}, time.Second},
		{"three, of which one was never heard of", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{never, heard(2 * time.Second)}}, 2 * time.Second},
		{"three, all alone", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{never, offline}}, electionTimeout},
		{"five, of which two others are needed", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{heard(3 * time.Second), heard(1 * time.Second), heard(2 * time.Second), heard(4 * time.Second)}}, 2 * time.Second},
		{"two, which are both needed", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{heard(5 * time.Second)}}, 5 * time.Second},
	} {
		if got := silence(tt.cluster); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestManyShareAFence: of all who read one key at once, one has it compared; who reads another
// number, or begins later, has it compared again.
func TestManyShareAFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fences := 0
		l := newLeader(&Store{}, true)
		l.young = time.Now().Add(time.Hour)
		l.fence = func(ctx context.Context, _ string, number uint64) (written, error) {
			fences++
			sent := time.Now()
			time.Sleep(time.Millisecond)
			switch {
			case ctx.Err() != nil:
				return written{}, ctx.Err()
			case number > 3:
				return written{}, errNotConnected
			case number > 2:
				return written{}, backend.ErrConflict
			}
			return written{sent, number}, nil
		}
		read := func(number uint64, want error) {
			asked := time.Now()
			time.Sleep(time.Microsecond)
			if err := l.vouch(t.Context(), asked, "k", number); !errors.Is(err, want) {
				t.Errorf("%d: %v, want %v", number, err, want)
			}
		}
		for _, tt := range []struct {
			name   string
			reads  func(all *sync.WaitGroup)
			fences int
		}{
			{"64 at once", func(all *sync.WaitGroup) {
				for range 64 {
					all.Go(func() { read(1, nil) })
				}
			}, 1},
			{"and 64 while the fence is under way", func(all *sync.WaitGroup) {
				all.Go(func() { read(1, nil) })
				time.Sleep(500 * time.Microsecond)
				for range 64 {
					all.Go(func() { read(1, nil) })
				}
			}, 2},
			{"two numbers", func(all *sync.WaitGroup) {
				all.Go(func() { read(1, nil) })
				all.Go(func() { read(2, nil) })
			}, 2},
			{"what is refused is refused to all", func(all *sync.WaitGroup) {
				for range 64 {
					all.Go(func() { read(3, backend.ErrConflict) })
				}
			}, 1},
			{"who gives up says nothing about the store", func(all *sync.WaitGroup) {
				all.Go(func() { read(1, nil) })
				time.Sleep(100 * time.Microsecond)
				all.Go(func() {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(1200*time.Microsecond, cancel)
					if err := l.vouch(ctx, time.Now(), "k", 2); !errors.Is(err, context.Canceled) {
						t.Errorf("%v, want that it was cancelled", err)
					}
				})
				time.Sleep(100 * time.Microsecond)
				all.Go(func() { read(2, nil) })
			}, 3},
			{"and so is what is not answered, whatever the number", func(all *sync.WaitGroup) {
				for n := range uint64(64) {
					all.Go(func() { read(4+n, errNotConnected) })
				}
			}, 1},
		} {
			fences = 0
			var all sync.WaitGroup
			tt.reads(&all)
			all.Wait()
			if fences != tt.fences {
				t.Errorf("%s: %d fences, want %d", tt.name, fences, tt.fences)
			}
		}
	})
}
