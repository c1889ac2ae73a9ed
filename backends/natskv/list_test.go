package natskv_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

func keysOf(t testing.TB, s *natskv.Store, prefix string) []string {
	t.Helper()
	var keys []string
	for e, err := range (natstest.Patient{Store: s}).List(ctx, prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	slices.Sort(keys)
	return keys
}

// TestListsByPrefix: every prefix lists its keys, wherever it ends.
func TestListsByPrefix(t *testing.T) {
	s := open(t, natstest.Alone(t).ClientURL())
	keys := []string{"a", "a/", "a//", "a/b", "a/b/c", "a/bc", "ab/b", "/", "/a", "/a/b", "é/é", "a.b/c", "b"}
	for _, key := range keys {
		set(t, s, key, 0, "v", time.Hour)
	}
	prefixes := []string{"", "/", "//", "é", "é/", "\xc3", "a/\xc3", "nothing/", "a=/"}
	for _, key := range keys {
		prefixes = append(prefixes, key, key+"/", key+"b")
	}
	for _, prefix := range prefixes {
		var want []string
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		slices.Sort(want)
		if got := keysOf(t, s, prefix); !slices.Equal(got, want) {
			t.Errorf("prefix %q lists %q, want %q", prefix, got, want)
		}
	}
}

// TestListAsksForItsNamespace: a listing of one namespace asks the server for no name of another.
func TestListAsksForItsNamespace(t *testing.T) {
	url := natstest.Alone(t).ClientURL()
	s := open(t, url)
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	asked, err := nc.SubscribeSync("$JS.API.STREAM.INFO.KV_leases")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	set(t, s, "mine:due/k", 0, "v", time.Hour)
	keysOf(t, s, "mine:due/")
	for _, want := range []string{"$KV.leases.mine=3Adue.>", "$KV.leases.mine=3Adue/"} {
		m, err := asked.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(m.Data), fmt.Sprintf("%q", want)) && !strings.Contains(string(m.Data), strings.ReplaceAll(want, ">", `\u003e`)) {
			t.Errorf("the listing asks with %s, want %s", m.Data, want)
		}
	}
}

// TestListsLargeValues: a server cuts an answer of more than 16 MiB.
func TestListsLargeValues(t *testing.T) {
	t.Parallel() // it waits for an election
	for name, setup := range map[string]func(t *testing.T) (url string, replicas int){
		"alone":   func(t *testing.T) (string, int) { return natstest.Alone(t).ClientURL(), 1 },
		"cluster": func(t *testing.T) (string, int) { return natstest.StartCluster(t).URL(), 3 },
	} {
		t.Run(name, func(t *testing.T) {
			url, replicas := setup(t)
			s := open(t, url, natskv.WithReplicas(replicas), natskv.WithTimeout(time.Minute))
			const entries = 17 // of 1 MiB each, and their headers
			value := string(make([]byte, 1<<20))
			for i := range entries {
				set(t, s, fmt.Sprintf("large/%d", i), 0, value, time.Hour)
			}
			if n := len(keysOf(t, s, "large/")); n != entries {
				t.Errorf("%d entries are listed, want %d", n, entries)
			}
		})
	}
}
