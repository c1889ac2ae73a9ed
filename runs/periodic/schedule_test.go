package periodic_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/runs/periodic"
)

func mustCron(t *testing.T, expression, zone string) periodic.Schedule {
	t.Helper()
	s, err := periodic.Cron(expression, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustEvery(t *testing.T, d time.Duration) periodic.Schedule {
	t.Helper()
	s, err := periodic.Every(d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// ticks are the first n after from, as RFC 3339 has them.
func ticks(t *testing.T, s periodic.Schedule, from string, n int) string {
	t.Helper()
	var all []string
	for at := instant(t, from); len(all) < n; {
		at = s.Next(at)
		all = append(all, at.Format(time.RFC3339))
	}
	return strings.Join(all, " ")
}

func TestTicks(t *testing.T) {
	for name, tt := range map[string]struct {
		schedule periodic.Schedule
		from     string
		want     string
	}{
		"every hour":   {mustEvery(t, time.Hour), "2026-11-25T14:00:00.5+01:00", "2026-11-25T14:00:00Z 2026-11-25T15:00:00Z"},
		"every second": {mustEvery(t, time.Second), "2026-11-25T14:00:00Z", "2026-11-25T14:00:01Z 2026-11-25T14:00:02Z"},
		"every week, from the day on which the epoch began": {mustEvery(t, 7*24*time.Hour), "2026-11-25T14:00:00Z", "2026-11-26T00:00:00Z 2026-12-03T00:00:00Z"},
		"before the epoch":           {mustEvery(t, time.Hour), "1969-12-31T22:30:00Z", "1969-12-31T23:00:00Z 1970-01-01T00:00:00Z"},
		"by cron, in UTC":            {mustCron(t, "*/15 9-10 * * mon-fri", ""), "2026-11-27T10:40:00Z", "2026-11-27T10:45:00Z 2026-11-30T09:00:00Z"},
		"at night in Berlin":         {mustCron(t, "0 3 * * *", "Europe/Berlin"), "2026-11-25T14:00:00Z", "2026-11-26T02:00:00Z 2026-11-27T02:00:00Z"},
		"either day":                 {mustCron(t, "0 0 13 * 5", ""), "2026-11-01T00:00:00Z", "2026-11-06T00:00:00Z 2026-11-13T00:00:00Z 2026-11-20T00:00:00Z"},
		"leap days":                  {mustCron(t, "0 0 29 2 *", ""), "2026-11-25T14:00:00Z", "2028-02-29T00:00:00Z 2032-02-29T00:00:00Z"},
		"@daily":                     {mustCron(t, " @daily ", "UTC"), "2026-11-25T14:00:00Z", "2026-11-26T00:00:00Z"},
		"a time skipped in spring":   {mustCron(t, "30 2 * * *", "Europe/Berlin"), "2026-03-28T00:00:00Z", "2026-03-28T01:30:00Z 2026-03-29T01:00:00Z 2026-03-30T00:30:00Z"},
		"two that are skipped":       {mustCron(t, "0,30 2 * * *", "Europe/Berlin"), "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z 2026-03-30T00:00:00Z"},
		"a time twice in autumn":     {mustCron(t, "30 2 * * *", "Europe/Berlin"), "2026-10-24T00:00:00Z", "2026-10-24T00:30:00Z 2026-10-25T00:30:00Z 2026-10-26T01:30:00Z"},
		"a time twice, from within":  {mustCron(t, "30 2 * * *", "Europe/Berlin"), "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"},
		"each hour in autumn":        {mustCron(t, "30 * * * *", "Europe/Berlin"), "2026-10-24T23:00:00Z", "2026-10-24T23:30:00Z 2026-10-25T00:30:00Z 2026-10-25T01:30:00Z 2026-10-25T02:30:00Z"},
		"each hour in spring":        {mustCron(t, "@hourly", "Europe/Berlin"), "2026-03-28T23:30:00Z", "2026-03-29T00:00:00Z 2026-03-29T01:00:00Z 2026-03-29T02:00:00Z"},
		"half an hour in autumn":     {mustCron(t, "45 1 * * *", "Australia/Lord_Howe"), "2026-04-03T20:00:00Z", "2026-04-04T14:45:00Z 2026-04-05T15:15:00Z"},
		"a midnight that is skipped": {mustCron(t, "0 0 * * *", "America/Santiago"), "2026-09-05T00:00:00Z", "2026-09-05T04:00:00Z 2026-09-06T04:00:00Z 2026-09-07T03:00:00Z"},
		"a day that is skipped":      {mustCron(t, "0 12 * * *", "Pacific/Apia"), "2011-12-29T00:00:00Z", "2011-12-29T22:00:00Z 2011-12-30T10:00:00Z 2011-12-30T22:00:00Z"},
	} {
		if got := ticks(t, tt.schedule, tt.from, strings.Count(tt.want, " ")+1); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// Whatever the zone does, ticks come in order, and none of a year of nights is left out or doubled.
func TestANightHasOneTick(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"} {
		for _, expression := range []string{"0 0 * * *", "30 1 * * *", "30 2 * * *", "0 3 * * *", "59 23 * * *"} {
			s, n := mustCron(t, expression, zone), 0
			end := instant(t, "2027-01-01T12:00:00Z")
			for at := s.Next(instant(t, "2026-01-01T12:00:00Z")); at.Before(end); at = s.Next(at) {
				n++
				if next := s.Next(at); next.Sub(at) < 22*time.Hour || next.Sub(at) > 26*time.Hour {
					t.Errorf("%s in %s: %v is followed by %v", expression, zone, at, next)
				}
			}
			if n != 365 {
				t.Errorf("%s in %s: %d ticks in 365 days", expression, zone, n)
			}
		}
	}
}

func TestWhatIsNoSchedule(t *testing.T) {
	check := func(what, field string, err error) {
		t.Helper()
		var bad *lease.FieldError
		if !errors.As(err, &bad) || bad.Field != field || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want one of %s", what, err, field)
		}
	}
	for _, d := range []time.Duration{-time.Hour, 0, time.Second - 1, 1500 * time.Millisecond, 366*24*time.Hour + time.Second} {
		_, err := periodic.Every(d)
		check(d.String(), "every", err)
	}
	for _, expression := range []string{
		"", "s3cret", "* * * *", "* * * * * *", "60 * * * *", "* * * * 7", ", * * * *", "* , * * *", "*/0 * * * *", "5-1 * * * *", "1-2-3 * * * *", "-1 * * * *",
		"@s3cret", "@every 1m", "TZ=Europe/Berlin 0 3 * * *", "CRON_TZ=Europe/Berlin 0 3 * * *", "TZ=0", "TZ=s3cret", "0 0 31 2 *", strings.Repeat("s3cret", 50),
		"0 0 * * *" + strings.Repeat(" ", 300) + "x",
	} {
		_, err := periodic.Cron(expression, "UTC")
		check(expression, "cron", err)
	}
	for _, zone := range []string{"s3cret", "Local", "../../etc/s3cret", strings.Repeat("s3cret", 20)} {
		_, err := periodic.Cron("0 3 * * *", zone)
		check(zone, "zone", err)
	}
}
