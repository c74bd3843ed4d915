// Package schedule says which bounds an autoscaler has at a moment. It is pure: the time comes in.
//
// A schedule begins at the times of its cron expression, in its own time zone, and holds for its
// duration. While it holds, its bounds take the place of the policy's; where several hold, the largest
// minimum and the largest maximum count. At the change to summer time a beginning that does not exist
// is left out; at the change back one that comes twice begins twice.
package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// maxBeginnings bounds the search for the end of beginnings that follow each other without a gap.
const maxBeginnings = 1000

// Schedule is other bounds for a while.
type Schedule struct {
	Name string `json:"name"`
	// Cron has five fields: minute, hour, day of month, month, day of week.
	Cron string `json:"cron"`
	// TimeZone is a name of the IANA database; empty = UTC.
	TimeZone        string `json:"time_zone,omitempty"`
	DurationSeconds int64  `json:"duration_seconds"`
	// Min and Max; 0 = the policy's own.
	Min int `json:"min,omitempty"`
	Max int `json:"max,omitempty"`
}

// Bounds are what holds at a moment.
type Bounds struct {
	Min int `json:"min"`
	Max int `json:"max"`
	// Active are the names of the schedules that hold, in the order of the policy.
	Active []string `json:"active,omitempty"`
}

// Change is the next moment at which other bounds may hold.
type Change struct {
	// Name of the schedule that begins or ends.
	Name string
	// Begins, or ends.
	Begins bool
	At     time.Time
}

// Check says what is wrong with a schedule under a policy with these bounds, naming the field.
func (s Schedule) Check(minimum, maximum int) error {
	if _, err := s.parse(); err != nil {
		return err
	}
	if b := s.bounds(minimum, maximum); b.Min > b.Max {
		return fmt.Errorf("min_replicas: while it holds the minimum would be %d and the maximum %d; set both", b.Min, b.Max)
	}
	return nil
}

// At gives the bounds at a moment. A schedule that cannot be read, which Check refuses, does not hold.
func At(list []Schedule, minimum, maximum int, now time.Time) Bounds {
	return Read(list).At(minimum, maximum, now)
}

// Plan is schedules that have been read once, to be asked many times.
type Plan []entry

type entry struct {
	Schedule
	beginnings cron.Schedule
}

// Read leaves out what cannot be read.
func Read(list []Schedule) Plan {
	var out Plan
	for _, s := range list {
		if c, err := s.parse(); err == nil {
			out = append(out, entry{s, c})
		}
	}
	return out
}

// At gives the bounds at a moment.
func (p Plan) At(minimum, maximum int, now time.Time) Bounds {
	out := Bounds{}
	for _, e := range p {
		if !e.holds(now) {
			continue
		}
		b := e.bounds(minimum, maximum)
		out.Active = append(out.Active, e.Name)
		out.Min, out.Max = max(out.Min, b.Min), max(out.Max, b.Max)
	}
	if len(out.Active) == 0 {
		return Bounds{Min: minimum, Max: maximum}
	}
	return out
}

func (e entry) holds(now time.Time) bool {
	begun := e.beginnings.Next(now.Add(-e.duration()))
	return !begun.IsZero() && !begun.After(now)
}

// Next gives the first beginning or end after a moment; false when there is none.
func Next(list []Schedule, now time.Time) (Change, bool) {
	var first Change
	for _, s := range list {
		c, ok := s.next(now)
		if ok && (first.At.IsZero() || c.At.Before(first.At)) {
			first = c
		}
	}
	return first, !first.At.IsZero()
}

func (s Schedule) bounds(minimum, maximum int) Bounds {
	b := Bounds{Min: s.Min, Max: s.Max}
	if b.Min == 0 {
		b.Min = minimum
	}
	if b.Max == 0 {
		b.Max = maximum
	}
	return b
}

func (s Schedule) duration() time.Duration { return time.Duration(s.DurationSeconds) * time.Second }

func (s Schedule) parse() (cron.Schedule, error) {
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("time_zone: %q is no name of the IANA time zone database, such as \"Asia/Shanghai\"", s.TimeZone)
	}
	if strings.Contains(s.Cron, "=") {
		return nil, fmt.Errorf("cron: %q: the time zone has a field of its own", s.Cron)
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(s.Cron)
	if err != nil {
		return nil, fmt.Errorf("cron: %q: %w", s.Cron, err)
	}
	if spec, ok := parsed.(*cron.SpecSchedule); ok {
		spec.Location = zone
	}
	if parsed.Next(time.Unix(0, 0)).IsZero() {
		return nil, fmt.Errorf("cron: %q never comes", s.Cron)
	}
	return parsed, nil
}

func (s Schedule) next(now time.Time) (Change, bool) {
	c, err := s.parse()
	if err != nil {
		return Change{}, false
	}
	begun := c.Next(now.Add(-s.duration()))
	if begun.IsZero() {
		return Change{}, false
	}
	if begun.After(now) {
		return Change{Name: s.Name, Begins: true, At: begun}, true
	}
	// What begins again before it has ended does not end.
	for range maxBeginnings {
		again := c.Next(begun)
		if again.IsZero() || again.After(begun.Add(s.duration())) {
			return Change{Name: s.Name, At: begun.Add(s.duration())}, true
		}
		begun = again
	}
	return Change{}, false
}
