package load

import "time"

// Class says how a request failed.
type Class string

// The classes.
const (
	ClassDial      Class = "dial"      // no connection
	ClassTimeout   Class = "timeout"   // no whole answer in time
	ClassReset     Class = "reset"     // the connection broke
	ClassServer    Class = "5xx"       // the answer was a server's error
	ClassOther     Class = "other"     // any other answer than the app's own
	ClassSaturated Class = "saturated" // too many requests in flight, not sent
)

// A Failure is one request that did not get its answer.
type Failure struct {
	// When the request was due.
	Sent time.Time `json:"sent"`
	// When it was known to have failed.
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	Class  Class     `json:"class"`
	Detail string    `json:"detail"`
	// Whether the connection had answered an earlier request.
	Reused bool `json:"reused,omitempty"`
}

// A Bucket counts the requests of one phase that ended within one second.
type Bucket struct {
	// Begin of the second.
	Second   time.Time `json:"second"`
	Phase    string    `json:"phase"`
	Requests int       `json:"requests"`
	Failed   int       `json:"failed"`
	// Latency of the answered ones in milliseconds, from the time due.
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	// Answered requests by what answered.
	ByCluster map[string]int `json:"by_cluster,omitempty"`
	ByPod     map[string]int `json:"by_pod,omitempty"`
	ByVersion map[string]int `json:"by_version,omitempty"`
	// Failed requests by class.
	ByClass map[Class]int `json:"by_class,omitempty"`
	// Every failed request, at most 500 of a second.
	Failures []Failure `json:"failures,omitempty"`
	// Longest time without an answer that ended in this second.
	LongestGap time.Duration `json:"longest_gap"`
	GapEnd     time.Time     `json:"gap_end"`
	// Last good answer within this second; zero: none.
	LastAnswer time.Time `json:"last_answer"`
}

// A Tick is what the generator says each second: one line of JSON.
type Tick struct {
	Time    time.Time `json:"time"`
	Rate    float64   `json:"rate"`
	Burn    string    `json:"burn"`
	Phase   string    `json:"phase"`
	Buckets []Bucket  `json:"buckets"`
	// Requests by phase that are in flight or not yet in a bucket.
	Pending map[string]int `json:"pending,omitempty"`
}

// Count adds up the requests of some buckets.
func Count(buckets []Bucket) (requests, failed int) {
	for _, b := range buckets {
		requests += b.Requests
		failed += b.Failed
	}
	return requests, failed
}

// Answered adds up the good answers by the cluster that gave them.
func Answered(buckets []Bucket) map[string]int {
	sums := map[string]int{}
	for _, b := range buckets {
		addAll(sums, b.ByCluster)
	}
	return sums
}

// Versions adds up the good answers by the version that gave them.
func Versions(buckets []Bucket) map[string]int {
	sums := map[string]int{}
	for _, b := range buckets {
		addAll(sums, b.ByVersion)
	}
	return sums
}

// Classes adds up the failed requests by class.
func Classes(buckets []Bucket) map[Class]int {
	sums := map[Class]int{}
	for _, b := range buckets {
		addAll(sums, b.ByClass)
	}
	return sums
}

// LastFailure finds the failed request that was due last at or after since.
// False: none failed.
func LastFailure(buckets []Bucket, since time.Time) (Failure, bool) {
	var last Failure
	found := false
	for _, b := range buckets {
		for _, f := range b.Failures {
			if !f.Sent.Before(since) && (!found || f.Sent.After(last.Sent)) {
				last, found = f, true
			}
		}
	}
	return last, found
}

// LongestGap finds the longest time without a good answer between from and
// to. Silence until to counts when no later answer ended it.
func LongestGap(buckets []Bucket, from, to time.Time) time.Duration {
	var longest time.Duration
	var last time.Time
	for _, b := range buckets {
		if b.LastAnswer.After(last) && !b.LastAnswer.After(to) {
			last = b.LastAnswer
		}
		if b.GapEnd.After(from) && !b.GapEnd.After(to) {
			longest = max(longest, b.LongestGap)
		}
	}
	if last.IsZero() || last.Before(from) {
		last = from
	}
	// An answer in a second that began before to may lie after it: then the
	// bucket's own gap has been counted and the rest is below a second.
	if silence := to.Sub(last); silence > time.Second {
		longest = max(longest, silence)
	}
	return longest
}

func addAll[K comparable](sums, more map[K]int) {
	for k, n := range more {
		sums[k] += n
	}
}
