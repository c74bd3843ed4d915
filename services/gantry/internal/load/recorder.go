package load

import (
	"slices"
	"sync"
	"time"
)

const maxFailures = 500 // kept of one second, so that a dead target cannot fill memory

// answer is what the app says about itself.
type answer struct {
	Pod     string `json:"pod"`
	Cluster string `json:"cluster"`
	Version string `json:"version"`
}

// recorder puts results into buckets.
type recorder struct {
	mu         sync.Mutex
	open       map[bucketKey]*openBucket
	pending    map[string]int // requests by phase that are in no bucket given out
	lastAnswer time.Time
}

type bucketKey struct {
	second int64 // Unix time
	phase  string
}

type openBucket struct {
	Bucket
	latencies []time.Duration
}

func newRecorder() *recorder {
	return &recorder{open: map[bucketKey]*openBucket{}, pending: map[string]int{}}
}

func (r *recorder) begin(phase string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending[phase]++
}

func (r *recorder) answered(phase string, due time.Time, by answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now() // under the lock, so that answers are in order
	b := r.bucket(now, phase)
	b.Requests++
	b.latencies = append(b.latencies, now.Sub(due))
	b.ByCluster[by.Cluster]++
	b.ByPod[by.Pod]++
	b.ByVersion[by.Version]++
	if gap := now.Sub(r.lastAnswer); !r.lastAnswer.IsZero() && gap > b.LongestGap {
		b.LongestGap, b.GapEnd = gap, now
	}
	r.lastAnswer, b.LastAnswer = now, now
}

func (r *recorder) failed(phase string, f Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.At = time.Now()
	b := r.bucket(f.At, phase)
	b.Requests++
	b.Failed++
	b.ByClass[f.Class]++
	if len(b.Failures) < maxFailures {
		b.Failures = append(b.Failures, f)
	}
}

func (r *recorder) bucket(now time.Time, phase string) *openBucket {
	key := bucketKey{now.Unix(), phase}
	b := r.open[key]
	if b == nil {
		b = &openBucket{Bucket: Bucket{
			Second: time.Unix(key.second, 0).UTC(), Phase: phase,
			ByCluster: map[string]int{}, ByPod: map[string]int{}, ByVersion: map[string]int{}, ByClass: map[Class]int{},
		}}
		r.open[key] = b
	}
	return b
}

// flush gives out the buckets of the seconds before the given one, in order,
// and how many requests of each phase are in none yet.
func (r *recorder) flush(before int64) (buckets []Bucket, pending map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, b := range r.open {
		if key.second >= before {
			continue
		}
		delete(r.open, key)
		buckets = append(buckets, b.close())
		r.pending[key.phase] -= b.Requests
	}
	slices.SortFunc(buckets, func(a, b Bucket) int {
		if c := a.Second.Compare(b.Second); c != 0 {
			return c
		}
		return a.LastAnswer.Compare(b.LastAnswer)
	})
	pending = map[string]int{}
	for phase, n := range r.pending {
		if n > 0 {
			pending[phase] = n
		}
	}
	return buckets, pending
}

func (b *openBucket) close() Bucket {
	slices.Sort(b.latencies)
	b.P50 = percentile(b.latencies, 50)
	b.P99 = percentile(b.latencies, 99)
	return b.Bucket
}

// percentile is in milliseconds, nearest rank; 0 without any.
func percentile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*percent + 99) / 100
	return float64(sorted[rank-1].Microseconds()) / 1000
}
