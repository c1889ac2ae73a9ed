package natskv_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// onBoth runs a test on a single server and on a cluster of three, which may elect at any time.
func onBoth(t *testing.T, test func(t *testing.T, url string, open func() natstest.Store)) {
	for name, setup := range map[string]func(t *testing.T) (url string, replicas int){
		"alone":   func(t *testing.T) (string, int) { return natstest.Alone(t).ClientURL(), 1 },
		"cluster": func(t *testing.T) (string, int) { return natstest.StartCluster(t).URL(), 3 },
	} {
		t.Run(name, func(t *testing.T) {
			url, replicas := setup(t)
			test(t, url, func() natstest.Store {
				return natstest.Patient{Store: open(t, url, natskv.WithReplicas(replicas), natskv.WithTimeout(time.Minute))}
			})
		})
	}
}

func entry(stream, id, data string) backend.JournalEntry {
	return backend.JournalEntry{Stream: stream, ID: id, Data: []byte(data), Keep: time.Hour}
}

func add(t testing.TB, j backend.Journal, entries ...backend.JournalEntry) {
	t.Helper()
	for len(entries) > 0 {
		n := min(len(entries), backend.MaxJournalBatch)
		if err := j.Append(ctx, entries[:n]); err != nil {
			t.Fatal(err)
		}
		entries = entries[n:]
	}
}

func shownEntries(entries []backend.JournalEntry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, " %s:%s:%s", e.Stream, e.ID, e.Data)
	}
	return strings.TrimSpace(b.String())
}

func wantStream(t testing.TB, j backend.Journal, stream, want string) []backend.JournalEntry {
	t.Helper()
	got, err := j.ReadStream(ctx, stream, 0, backend.MaxJournalBatch)
	if err != nil {
		t.Fatal(err)
	}
	if shownEntries(got) != want {
		t.Errorf("stream %q reads %q, want %q", stream, shownEntries(got), want)
	}
	return got
}

// TestJournalAnew deletes the journal under two stores. Its entries are gone. New ones are taken,
// with positions above the old ones, and ids that the old one had are free.
func TestJournalAnew(t *testing.T) {
	onBoth(t, func(t *testing.T, url string, open func() natstest.Store) {
		one, other := open(), open()
		for _, s := range []natstest.Store{one, other} {
			wantStream(t, s, "default/run", "") // there is no journal yet
			if page, total, err := s.Streams(ctx, "", 0, 10); len(page) > 0 || total != 0 || err != nil {
				t.Errorf("streams before the first append: %v, %d, %v", page, total, err)
			}
		}
		add(t, one, entry("default/run", "start", "a"), entry("default/run", "", "b"))
		old := wantStream(t, other, "default/run", "default/run:start:a default/run::b")
		js, _ := bucketOf(t, url, "leases")
		for _, next := range []natstest.Store{one, other} { // both know the stream that is deleted
			if err := js.DeleteStream(ctx, "JOURNAL_leases"); err != nil {
				t.Fatal(err)
			}
			wantStream(t, one, "default/run", "")
			wantStream(t, other, "default/run", "")
			if got, err := other.ReadNewest(ctx, "default/", 0, 10); len(got) > 0 || err != nil {
				t.Errorf("the newest of a deleted journal: %v, %v", got, err)
			}
			add(t, next, entry("default/run", "start", "c"), entry("default/run", "start", "d"))
			for _, s := range []natstest.Store{one, other} {
				now := wantStream(t, s, "default/run", "default/run:start:c")
				if now[0].Position <= old[len(old)-1].Position {
					t.Errorf("position %d after %d", now[0].Position, old[len(old)-1].Position)
				}
				old = now
				old[0].Position--
			}
		}
		info, err := js.Stream(ctx, "JOURNAL_leases")
		if err != nil {
			t.Fatal(err)
		}
		bucket, err := js.Stream(ctx, "KV_leases")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := info.CachedInfo().Config.Replicas, bucket.CachedInfo().Config.Replicas; got != want {
			t.Errorf("the journal has %d replicas, want %d as the bucket has", got, want)
		}
	})
}

// TestJournalNames uses the longest names that there are, ids that no subject can have, and a
// server that nobody has configured.
func TestJournalNames(t *testing.T) {
	o := natstest.Options(t.TempDir())
	o.MaxPayload = 0
	s := open(t, natstest.Start(t, o).ClientURL(), natskv.WithBucket(strings.Repeat("b", 64)))
	long := strings.Repeat("é", backend.MaxKeyBytes/2)
	longSlash := long[:len(long)-2] + "/x"
	ids := []string{"", "e", "a.b", "a b", "*", ">", "=", "=fence", "a/b", "\r\n", "é", strings.Repeat("x", 64), strings.Repeat("é", 32)}
	data := bytes.Repeat([]byte{0xff}, backend.MaxJournalDataBytes)
	for _, stream := range []string{long, longSlash, "/", "a/", "/a", "a", "=fence", "=/=fence"} {
		for range 2 {
			var entries []backend.JournalEntry
			for _, id := range ids {
				entries = append(entries, entry(stream, id, string(data)))
			}
			add(t, s, entries...)
		}
		got, err := s.ReadStream(ctx, stream, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, e := range got {
			have = append(have, e.ID)
			if e.Stream != stream || !bytes.Equal(e.Data, data) {
				t.Errorf("an entry of %s reads as one of %s, with %d bytes", backend.Quote(stream), backend.Quote(e.Stream), len(e.Data))
			}
		}
		if want := append(slices.Clone(ids), ""); !slices.Equal(have, want) {
			t.Errorf("stream %s has ids %q, want %q", backend.Quote(stream), have, want)
		}
	}
	page, total, err := s.Streams(ctx, "a", 0, 10)
	if err != nil || total != 2 || len(page) != 2 || page[0].Stream != "a" || page[1].Stream != "a/" || page[1].Count != len(ids)+1 {
		t.Errorf("streams that begin with a: %v, %d, %v", page, total, err)
	}
	page, total, err = s.Streams(ctx, "a/", 0, 10)
	if err != nil || total != 1 || page[0].Stream != "a/" {
		t.Errorf("streams that begin with a/: %d, %v", total, err)
	}
}

// TestJournalExpiry: an entry drops when its keep has ended, and not before. Its id is then free,
// and it is not counted any more.
func TestJournalExpiry(t *testing.T) {
	onBoth(t, func(t *testing.T, url string, open func() natstest.Store) {
		s := open()
		brief := entry("default/run", "start", "a")
		brief.Keep = 1500 * time.Millisecond
		begun := time.Now()
		add(t, s, brief, entry("default/run", "end", "z"))
		wantStream(t, s, "default/run", "default/run:start:a default/run:end:z")
		natstest.Eventually(t, "the entry drops", func() bool {
			got, err := s.ReadStream(ctx, "default/run", 0, 10)
			return err == nil && len(got) == 1
		})
		if took := time.Since(begun); took < brief.Keep {
			t.Errorf("it dropped after %v, before its keep of %v ended", took, brief.Keep)
		}
		natstest.Eventually(t, "it is not counted", func() bool { // other replicas may drop it later
			page, total, err := s.Streams(ctx, "default/", 0, 10)
			return err == nil && total == 1 && page[0].Count == 1 && page[0].Last.ID == "end"
		})
		natstest.Eventually(t, "its id is free", func() bool {
			add(t, s, entry("default/run", "start", "b"))
			got, err := s.ReadStream(ctx, "default/run", 0, 10)
			return err == nil && shownEntries(got) == "default/run:end:z default/run:start:b"
		})
	})
}

// TestJournalRefuses looks at what is not added, and at what the errors say.
func TestJournalRefuses(t *testing.T) {
	url := natstest.Alone(t).ClientURL()
	s := open(t, url)
	add(t, s, entry("a", "", "1"))
	js, _ := bucketOf(t, url, "leases")
	edit := func(change func(*jetstream.StreamConfig)) {
		t.Helper()
		stream, err := js.Stream(ctx, "JOURNAL_leases")
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		change(&config)
		if _, err := js.UpdateStream(ctx, config); err != nil {
			t.Fatal(err)
		}
	}
	fails := func(is error, says string, entries ...backend.JournalEntry) {
		t.Helper()
		err := s.Append(ctx, entries)
		if !errors.Is(err, is) || !strings.Contains(fmt.Sprint(err), says) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%v, want one that says %q", err, says)
		}
	}
	large := entry("a", "", strings.Repeat("secret", 1000))
	fails(backend.ErrInvalid, "entry 2 of 2", entry("a", "", "2"), entry("", "", "secret"))

	edit(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 4096 })
	s = open(t, url) // another would ask a second later how the stream is kept
	fails(backend.ErrInvalid, "entry 2 of 2: invalid argument: data has 6000 bytes, and this journal takes 3584", entry("a", "", "2"), large)
	edit(func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1; c.MaxMsgs = 1 })
	fails(backend.ErrUnavailable, "is full", entry("a", "", "2"), entry("b", "x", "2"))
	wantStream(t, s, "a", "a::1")
	wantStream(t, s, "b", "")
	edit(func(c *jetstream.StreamConfig) { c.MaxMsgs = 2 })
	err := s.Append(ctx, []backend.JournalEntry{entry("a", "", "2"), entry("b", "x", "3"), entry("a", "", "4")})
	if err == nil || errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "outcome is unknown") {
		t.Errorf("an append that fits in part: %v", err)
	}
	wantStream(t, s, "a", "a::1 a::2")

	if err := js.DeleteStream(ctx, "JOURNAL_leases"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "JOURNAL_leases", Subjects: []string{"$JOURNAL.leases.>"}, MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	s = open(t, url)
	fails(backend.ErrUnavailable, "stream JOURNAL_leases is not fit", entry("a", "", "1"))
	if _, err := s.ReadStream(ctx, "a", 0, 1); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("a read: %v", err)
	}
	s.Close()
	fails(backend.ErrClosed, "closed", entry("a", "", "1"))
}

// TestJournalManyIDs reads a stream with more ids than a server names in one answer.
func TestJournalManyIDs(t *testing.T) {
	onBoth(t, func(t *testing.T, url string, open func() natstest.Store) {
		s := open()
		const n = 1500
		var all []backend.JournalEntry
		for i := range n {
			all = append(all, entry("default/run", fmt.Sprint(i), "x"))
		}
		add(t, s, all...)
		last := uint64(0)
		for _, want := range []int{1000, 500, 0} {
			page, err := s.ReadStream(ctx, "default/run", last, backend.MaxJournalBatch)
			if err != nil || len(page) != want {
				t.Fatalf("%d entries, %v, want %d", len(page), err, want)
			}
			if want > 0 {
				last = page[want-1].Position
			}
		}
		page, total, err := s.Streams(ctx, "default/", 0, 1)
		if err != nil || total != 1 || page[0].Count != n || page[0].Last.Position != last {
			t.Errorf("%v, %d, %v", page, total, err)
		}
	})
}
