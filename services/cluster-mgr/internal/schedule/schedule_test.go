package schedule_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gantry.dev/services/cluster-mgr/internal/schedule"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(t interface{ Fatal(...any) }, s string) time.Time {
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var office = schedule.Schedule{Name: "office", Cron: "0 8 * * 1-5", TimeZone: "Asia/Shanghai", DurationSeconds: 10 * 3600, Min: 6, Max: 30}

func TestBoundsAtAMoment(t *testing.T) {
	noon := schedule.Schedule{Name: "noon", Cron: "0 12 * * *", TimeZone: "Asia/Shanghai", DurationSeconds: 3600, Min: 9}
	night := schedule.Schedule{Name: "night", Cron: "0 22 * * *", TimeZone: "Asia/Shanghai", DurationSeconds: 8 * 3600, Min: 1, Max: 2}
	tests := []struct {
		name, now string
		want      schedule.Bounds
	}{
		{"a second before it begins", "2026-11-23T07:59:59+08:00", schedule.Bounds{Min: 2, Max: 10}},
		{"as it begins", "2026-11-23T08:00:00+08:00", schedule.Bounds{Min: 6, Max: 30, Active: []string{"office"}}},
		{"in its last second", "2026-11-23T17:59:59+08:00", schedule.Bounds{Min: 6, Max: 30, Active: []string{"office"}}},
		{"as it ends", "2026-11-23T18:00:00+08:00", schedule.Bounds{Min: 2, Max: 10}},
		{"the same moment in another zone", "2026-11-23T00:00:00Z", schedule.Bounds{Min: 6, Max: 30, Active: []string{"office"}}},
		{"the largest of two", "2026-11-23T12:30:00+08:00", schedule.Bounds{Min: 9, Max: 30, Active: []string{"office", "noon"}}},
		{"only noon on Sunday", "2026-11-22T12:30:00+08:00", schedule.Bounds{Min: 9, Max: 10, Active: []string{"noon"}}},
		{"past midnight", "2026-11-24T03:00:00+08:00", schedule.Bounds{Min: 1, Max: 2, Active: []string{"night"}}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := schedule.At([]schedule.Schedule{office, noon, night}, 2, 10, at(t, tc.now))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("bounds (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNextChange(t *testing.T) {
	hourly := schedule.Schedule{Name: "always", Cron: "0 * * * *", DurationSeconds: 7200, Min: 1}
	tests := []struct {
		name, now string
		list      []schedule.Schedule
		want      string
	}{
		{"it begins", "2026-11-20T19:00:00+08:00", []schedule.Schedule{office}, "begin office 2026-11-23T00:00:00Z"},
		{"it ends", "2026-11-23T09:00:00+08:00", []schedule.Schedule{office}, "end office 2026-11-23T10:00:00Z"},
		{"the earlier of two", "2026-11-23T09:00:00Z", []schedule.Schedule{{Name: "late", Cron: "0 23 * * *", DurationSeconds: 60}, office}, "end office 2026-11-23T10:00:00Z"},
		{"what begins again never ends", "2026-11-23T09:30:00Z", []schedule.Schedule{hourly}, ""},
		{"without a schedule", "2026-11-23T09:30:00Z", nil, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c, ok := schedule.Next(tc.list, at(t, tc.now))
			got := ""
			if ok {
				got = map[bool]string{true: "begin ", false: "end "}[c.Begins] + c.Name + " " + c.At.UTC().Format(time.RFC3339)
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// In Berlin 02:30 does not exist on 2027-03-28 and comes twice on 2026-10-25.
func TestSummerTime(t *testing.T) {
	early := schedule.Schedule{Name: "early", Cron: "30 2 * * *", TimeZone: "Europe/Berlin", DurationSeconds: 600, Min: 5}
	holds := func(s string) bool {
		return len(schedule.At([]schedule.Schedule{early}, 1, 9, at(t, s)).Active) > 0
	}
	begun := 0
	for minute := range 24 * 60 {
		now := at(t, "2026-10-24T22:00:00Z").Add(time.Duration(minute) * time.Minute)
		if holds(now.Format(time.RFC3339)) && !holds(now.Add(-time.Minute).Format(time.RFC3339)) {
			begun++
		}
	}
	if begun != 2 {
		t.Errorf("it began %d times on the day with 02:30 twice", begun)
	}
	if holds("2027-03-28T01:35:00Z") {
		t.Error("it holds after a beginning that does not exist")
	}
	if !holds("2027-03-29T00:35:00Z") {
		t.Error("it does not hold on the day after")
	}
}

func TestCheckNamesTheField(t *testing.T) {
	for field, change := range map[string]func(*schedule.Schedule){
		"cron: ":         func(s *schedule.Schedule) { s.Cron = "61 8 * * *" },
		"cron":           func(s *schedule.Schedule) { s.Cron = "0 8 * *" },
		"never comes":    func(s *schedule.Schedule) { s.Cron = "0 8 31 2 *" },
		"field of its":   func(s *schedule.Schedule) { s.Cron = "CRON_TZ=UTC 0 8 * * *" },
		"time_zone":      func(s *schedule.Schedule) { s.TimeZone = "Asia/Shangai" },
		"min_replicas":   func(s *schedule.Schedule) { s.Min, s.Max = 0, 1 },
		"maximum 10; se": func(s *schedule.Schedule) { s.Min, s.Max = 11, 0 },
	} {
		s := office
		change(&s)
		if err := s.Check(2, 10); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: %v, want a complaint with %q", s, err, field)
		}
	}
	if err := office.Check(2, 10); err != nil {
		t.Error(err)
	}
}

// Whatever holds, the minimum is not above the maximum, and the order of schedules changes no bound.
func TestBoundsAreBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.IntRange(1, 20).Draw(t, "min")
		high := low + rapid.IntRange(0, 20).Draw(t, "more")
		var list []schedule.Schedule
		for range rapid.IntRange(0, 4).Draw(t, "schedules") {
			s := schedule.Schedule{
				Name: "s", Cron: rapid.SampledFrom([]string{"*/7 * * * *", "0 3 * * *", "15 */5 * * 0,6"}).Draw(t, "cron"),
				DurationSeconds: rapid.Int64Range(60, 86400).Draw(t, "duration"),
				Min:             rapid.IntRange(0, 30).Draw(t, "smin"), Max: rapid.IntRange(0, 30).Draw(t, "smax"),
			}
			if s.Check(low, high) == nil {
				list = append(list, s)
			}
		}
		now := time.Unix(rapid.Int64Range(1_700_000_000, 1_900_000_000).Draw(t, "now"), 0)
		b := schedule.At(list, low, high, now)
		if b.Min > b.Max || b.Min < 0 {
			t.Fatalf("%+v at %v", b, now)
		}
		slices.Reverse(list)
		if again := schedule.At(list, low, high, now); again.Min != b.Min || again.Max != b.Max {
			t.Fatalf("%+v, reversed %+v", b, again)
		}
	})
}
