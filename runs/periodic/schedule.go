package periodic

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/ailease/lease"
)

// Limits of schedules.
const (
	minEvery     = time.Second
	maxEvery     = 366 * 24 * time.Hour
	maxCronBytes = 256
	maxZoneBytes = 64
)

// Schedule tells when ticks are due: at the same instants on every server. Make it with [Every] or
// [Cron].
type Schedule struct {
	next func(t time.Time) time.Time
}

// Next is the first tick after t, in UTC; the zero time if there is none within about five years.
func (s Schedule) Next(t time.Time) time.Time {
	next := s.next(t)
	if next.IsZero() {
		return next
	}
	return next.UTC().Round(0)
}

// last is the last tick up to now that is later than after; the zero time if there is none.
func (s Schedule) last(after, now time.Time) (tick time.Time) {
	for next := s.Next(after); !next.IsZero() && !next.After(now); next = s.Next(next) {
		tick = next
	}
	return tick
}

// Every has a tick each d, a second to 366 days, counted from the Unix epoch: every hour is on the
// hour, in UTC. d is a whole number of seconds. An error is a [*lease.FieldError] of "every".
func Every(d time.Duration) (Schedule, error) {
	if d < minEvery || d > maxEvery || d%time.Second != 0 {
		return Schedule{}, &lease.FieldError{Field: "every", Problem: fmt.Sprintf("%v, must be whole seconds from %v to %v", d, minEvery, maxEvery)}
	}
	n := int64(d / time.Second)
	return Schedule{func(t time.Time) time.Time {
		seconds := t.Unix()
		past := (seconds%n + n) % n
		return time.Unix(seconds-past+n, 0)
	}}, nil
}

// Cron has its ticks by a cron expression in a time zone. The expression has five fields, minute,
// hour, day of the month, month and day of the week, with names, lists, ranges and steps; or it is
// one of @yearly, @monthly, @weekly, @daily and @hourly. Sunday is 0. If both days are restricted,
// either will do. The zone is a name of the IANA database such as "Europe/Berlin"; "" is UTC.
//
// When the clocks change, an expression whose hour is '*' or @hourly goes by real time: each hour
// is an hour. For any other, a time of day that is skipped in spring is due when the clocks change,
// and one that comes twice in autumn is due the first time.
//
// An error is a [*lease.FieldError] of "cron" or "zone", without the expression: a field is wrong,
// or there is no such day.
func Cron(expression, zone string) (Schedule, error) {
	if len(zone) > maxZoneBytes {
		return Schedule{}, &lease.FieldError{Field: "zone", Problem: fmt.Sprintf("%d bytes, limit %d", len(zone), maxZoneBytes)}
	}
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return Schedule{}, &lease.FieldError{Field: "zone", Problem: fmt.Sprintf("%d bytes, must be a time zone such as Europe/Berlin that this machine knows", len(zone))}
	}
	spec := parseCron(expression)
	if spec == nil {
		return Schedule{}, &lease.FieldError{Field: "cron", Problem: fmt.Sprintf("%d bytes, limit %d, must have the fields minute, hour, day of the month, month and day of the week, or be @daily or the like", len(expression), maxCronBytes)}
	}
	s := Schedule{func(t time.Time) time.Time { return nextByWall(spec, t, loc) }}
	const star = 1 << 63 // of a field that was '*'
	if spec.Hour&star != 0 {
		real := *spec
		real.Location = loc
		s = Schedule{real.Next}
	}
	if s.Next(time.Unix(0, 0)).IsZero() {
		return Schedule{}, &lease.FieldError{Field: "cron", Problem: "there is no such day of the month"}
	}
	return s, nil
}

// parseCron returns an expression in UTC; nil if it is none. The parser has a prefix for a zone,
// and "@every", which would count from when a server starts: neither is let through.
func parseCron(expression string) *cron.SpecSchedule {
	expression = strings.TrimSpace(expression)
	if len(expression) > maxCronBytes || strings.Contains(expression, "=") || strings.HasPrefix(expression, "@every") {
		return nil
	}
	parsed, err := cron.ParseStandard(expression)
	spec, ok := parsed.(*cron.SpecSchedule)
	if err != nil || !ok || spec.Minute == 0 || spec.Hour == 0 || spec.Dom == 0 || spec.Month == 0 || spec.Dow == 0 {
		return nil
	}
	spec.Location = time.UTC
	return spec
}

// nextByWall is the first tick after t. spec is about the times that clocks in loc show, as if they
// were in UTC.
func nextByWall(spec *cron.SpecSchedule, t time.Time, loc *time.Location) time.Time {
	for wall := wallOf(t.In(loc)); ; {
		if wall = spec.Next(wall); wall.IsZero() {
			return wall
		}
		if at := firstAt(wall, loc); at.After(t) {
			return at
		}
	}
}

// wallOf is what a clock shows at t, as if in UTC.
func wallOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// firstAt is the first instant at which clocks in loc show wall, or when they skip it.
func firstAt(wall time.Time, loc *time.Location) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, loc)
	start, end := t.ZoneBounds()
	switch shown := wallOf(t); {
	case shown.After(wall):
		return start
	case shown.Before(wall):
		return end
	case start.IsZero():
		return t
	}
	_, offset := t.Zone()
	_, before := start.Add(-time.Nanosecond).Zone()
	if earlier := t.Add(time.Duration(offset-before) * time.Second); before > offset && earlier.Before(start) {
		return earlier
	}
	return t
}
