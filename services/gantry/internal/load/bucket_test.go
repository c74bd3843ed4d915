package load

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(seconds float64) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

func TestLongestGap(t *testing.T) {
	buckets := []Bucket{
		{Second: at(0), LongestGap: 900 * time.Millisecond, GapEnd: at(0.9), LastAnswer: at(0.99)},
		{Second: at(1), LongestGap: 10 * time.Millisecond, GapEnd: at(1.5), LastAnswer: at(1.99)},
		{Second: at(3), LongestGap: 1400 * time.Millisecond, GapEnd: at(3.39), LastAnswer: at(3.99)},
	}
	for _, test := range []struct {
		name     string
		from, to float64
		want     time.Duration
	}{
		{"whole", 0, 4, 1400 * time.Millisecond},
		{"before the long one", 1, 2, 10 * time.Millisecond},
		{"silence until the end counts", 1, 8, 4010 * time.Millisecond},
		{"nothing but silence", 5, 8, 3 * time.Second},
	} {
		if got := LongestGap(buckets, at(test.from), at(test.to)).Round(time.Millisecond); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestLastFailureIsTheOneSentLast(t *testing.T) {
	buckets := []Bucket{
		{Failures: []Failure{{Sent: at(2), At: at(7), Detail: "slow"}, {Sent: at(1), At: at(8)}}},
		{Failures: []Failure{{Sent: at(0), At: at(9)}}},
	}
	if f, ok := LastFailure(buckets, at(0.5)); !ok || f.Detail != "slow" {
		t.Errorf("got %+v, %v", f, ok)
	}
	if f, ok := LastFailure(buckets, at(3)); ok {
		t.Errorf("got %+v, want none", f)
	}
}

// Whatever happens, each request is in exactly one bucket.
func TestEveryRequestIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRecorder()
		var requests, failed int
		var all []Bucket
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			phase := rapid.SampledFrom([]string{"one", "two"}).Draw(t, "phase")
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				r.begin(phase)
				r.answered(phase, time.Now(), answer{Cluster: "site-a"})
				requests++
			case 1:
				r.begin(phase)
				r.failed(phase, Failure{Sent: time.Now(), Class: ClassReset})
				requests++
				failed++
			default:
				buckets, _ := r.flush(time.Now().Unix() + 1)
				all = append(all, buckets...)
			}
		}
		buckets, pending := r.flush(time.Now().Unix() + 1)
		all = append(all, buckets...)
		gotRequests, gotFailed := Count(all)
		if gotRequests != requests || gotFailed != failed || len(pending) != 0 {
			t.Fatalf("counted %d, %d failed, pending %v; want %d, %d", gotRequests, gotFailed, pending, requests, failed)
		}
	})
}
