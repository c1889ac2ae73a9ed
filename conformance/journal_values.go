package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of what entries hold, and of arguments at the limits and beyond.

func journalData(s *subject, t *rapid.T) {
	n := &notes{s: s}
	stream := s.key("a")
	data := rapid.OneOf(
		rapid.SampledFrom([][]byte{{}, {0}, []byte("null"), {0xff, 0xfe}, []byte("\x00a\x00"), []byte("e\u0301")}),
		rapid.SliceOfN(rapid.Byte(), 0, 300),
	).Draw(t, "data")
	if rapid.IntRange(0, 4).Draw(t, "large") == 0 && len(data) > 0 {
		data = bytes.Repeat(data, backend.MaxJournalDataBytes/len(data))
	}
	n.add(note(stream, "", "before"), note(stream, "id", string(data)), note(stream, "", ""))
	n.checkNewest(stream, 0, 2)
	n.add(note(stream, "", string(data)))
	n.checkStreams(stream, 0, 1)
}

// journalAliasing changes what it gave and what it got, and looks again.
func journalAliasing(s *subject, t *rapid.T) {
	n := &notes{s: s}
	stream := s.key("a/b")
	size := rapid.SampledFrom([]int{1, 8, 300, 10_000}).Draw(t, "bytes")
	var batch []backend.JournalEntry
	for i := range 3 {
		batch = append(batch, note(stream, "", strings.Repeat(fmt.Sprint(i), size)))
	}
	given := slices.Clone(batch)
	for i := range given {
		given[i].Data = bytes.Clone(given[i].Data)
	}
	s.add(given...)
	for i := range given {
		clear(given[i].Data)
		given[i] = note(s.key("scrambled"), "scrambled", "scrambled")
	}
	n.learn(0, batch)
	for i := range n.all {
		n.all[i].Data = batch[i].Data // ours, and nobody else's
	}
	look := map[string]func() [][]byte{
		"ReadStream": func() [][]byte { return datas(s.readStream(stream, 0, 3)) },
		"ReadNewest": func() [][]byte { return datas(s.readNewest(stream, 0, 3)) },
		"Streams": func() [][]byte {
			page, _ := s.streams(stream, 0, 1)
			if len(page) != 1 {
				s.broken("Streams %s returned %d streams, want 1", show(stream), len(page))
			}
			return [][]byte{page[0].Last.Data}
		},
	}
	for _, call := range []string{"ReadStream", "ReadNewest", "Streams"} {
		held := look[call]()
		kept := make([][]byte, len(held))
		for i, d := range held {
			kept[i] = bytes.Clone(d)
		}
		for i, d := range held {
			clear(d)
			_ = append(d, "beyond its end"...)
			for k := range held {
				if k > i && !bytes.Equal(held[k], kept[k]) {
					s.broken("when the data of an entry that %s returned was changed, another's changed too", call)
				}
			}
		}
		n.checkStream(stream, 0, 3)
		n.checkNewest(stream, 0, 3)
		n.checkStreams(stream, 0, 1)
	}
}

func datas(page []backend.JournalEntry) (all [][]byte) {
	for _, e := range page {
		all = append(all, e.Data)
	}
	return all
}

// journalLimits goes to each limit by itself, and to those of an entry together.
func journalLimits(s *subject) {
	n := &notes{s: s}
	full := note(s.key(strings.Repeat("s", backend.MaxKeyBytes-len(s.id))), strings.Repeat("i", backend.MaxEntryIDBytes),
		strings.Repeat("\x00\xffd\n", backend.MaxJournalDataBytes/4))
	full.Keep = longest[len(longest)-1]
	n.add(full)
	n.add(full)
	wide := note(s.key(strings.Repeat("é", (backend.MaxKeyBytes-len(s.id))/2)), strings.Repeat("é", backend.MaxEntryIDBytes/2), "")
	n.add(wide)
	n.checkStreams(s.id, 0, 10)
	n.checkNewest(s.id, 0, 10)
	for i, keep := range longest {
		e := note(s.key("keeps"), fmt.Sprint(i), keep.String())
		e.Keep = keep
		n.add(e)
	}
	shortest := note(s.key("shortest"), "", "")
	shortest.Keep = 1
	s.add(shortest) // it may be gone at once

	var batch []backend.JournalEntry
	for i := range backend.MaxJournalBatch {
		batch = append(batch, note(s.key(fmt.Sprint("batch/", i%3)), "", fmt.Sprint(i)))
	}
	n.add(batch...)
	for i := range 3 {
		n.checkStream(s.key(fmt.Sprint("batch/", i)), 0, backend.MaxJournalBatch)
	}
	n.checkNewest(s.key("batch/"), 0, backend.MaxJournalBatch)
	n.checkStream(s.key("keeps"), 0, backend.MaxJournalBatch)
	s.add()
	n.checkNewest(s.key("batch/"), 0, 1)
}

// journalInvalid makes calls with arguments that are refused however often they come, and so once.
func journalInvalid(s *subject) {
	n := &notes{s: s}
	stream := s.key("a")
	good := note(stream, "", "good")
	n.add(good)
	refused := func(call, what string, err error) {
		if !errors.Is(err, backend.ErrInvalid) {
			s.broken("%s with %s returned %v", call, what, err)
		}
		n.checkNewest(s.id, 0, 10)
	}
	for _, bad := range []struct{ what, stream string }{
		{"an empty stream", ""},
		{"a stream of 1281 bytes", s.key(strings.Repeat("k", backend.MaxKeyBytes+1-len(s.id)))},
		{"a stream of 1281 bytes, but fewer characters", s.key(strings.Repeat("é", backend.MaxKeyBytes/2))},
		{"a stream that is not UTF-8", s.key("\xff")},
		{"a stream with a surrogate in UTF-8", s.key("\xed\xa0\x80")},
	} {
		refused("Append", bad.what, s.tryAppend(s.ctx, note(bad.stream, "", "")))
		_, err := s.tryReadStream(s.ctx, bad.stream, 0, 1)
		refused("ReadStream", bad.what, err)
	}
	for _, bad := range []struct {
		what     string
		id, data string
		keep     time.Duration
	}{
		{"an id of 65 bytes", strings.Repeat("i", backend.MaxEntryIDBytes+1), "", time.Hour},
		{"an id of 66 bytes, but fewer characters", strings.Repeat("é", backend.MaxEntryIDBytes/2+1), "", time.Hour},
		{"an id that is not UTF-8", "\xff", "", time.Hour},
		{"data of 64 KiB and a byte", "", strings.Repeat("d", backend.MaxJournalDataBytes+1), time.Hour},
		{"a keep of 0", "", "", 0},
		{"a negative keep", "", "", -time.Nanosecond},
	} {
		e := note(stream, bad.id, bad.data)
		e.Keep = bad.keep
		refused("Append", bad.what, s.tryAppend(s.ctx, e))
		refused("Append after a good entry", bad.what, s.tryAppend(s.ctx, good, e))
		refused("Append before a good entry", bad.what, s.tryAppend(s.ctx, e, good))
	}
	many := slices.Repeat([]backend.JournalEntry{good}, backend.MaxJournalBatch+1)
	refused("Append", "1001 entries", s.tryAppend(s.ctx, many...))
	for _, limit := range []int{0, -1, backend.MaxJournalBatch + 1} {
		what := fmt.Sprint("limit ", limit)
		_, err := s.tryReadStream(s.ctx, stream, 0, limit)
		refused("ReadStream", what, err)
		_, err = s.tryReadNewest(s.ctx, s.id, 0, limit)
		refused("ReadNewest", what, err)
		_, _, err = s.tryStreams(s.ctx, s.id, 0, limit)
		refused("Streams", what, err)
	}
	_, _, err := s.tryStreams(s.ctx, s.id, -1, 1)
	refused("Streams", "offset -1", err)
	n.checkStreams(s.id, 0, 10)
}
