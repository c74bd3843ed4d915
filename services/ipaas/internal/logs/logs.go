// Package logs brings what the containers of an app print into one stream, in
// the order of time.
package logs

import (
	"context"
	"io"
	"regexp"
	"slices"
	"sync"
	"time"

	"gantry.dev/pkg/timeline"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/labels"
)

const (
	// hold is how long a line waits for those of other pods while following.
	hold = 250 * time.Millisecond
	// look is the time between two looks for new pods, and between two tries to
	// read one that cannot be read.
	look = time.Second
	// batch is how many lines go out in one message at the most.
	batch = 256
)

// Request says what is wanted.
type Request struct {
	App labels.ID
	// Names; empty: all of the app.
	Pods []string
	// Only lines that match; nil: all.
	Match *regexp.Regexp
	kube.LogOptions
}

// Reader reads logs; both fields are required.
type Reader struct {
	// Pods calls f for each pod of the cluster.
	Pods func(f func(kube.Pod))
	Open func(ctx context.Context, namespace, pod string, o kube.LogOptions) (io.ReadCloser, error)
}

// item is a line, or a sentence about what is missing.
type item struct {
	line   *gantryv1.LogLine
	notice string
}

// Stream sends lines until all are sent or, when following, until ctx ends.
// At most a few lines of each pod are in memory, however slow send is.
func (r Reader) Stream(ctx context.Context, req Request, send func([]*gantryv1.LogLine, []string) error) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{reader: r, req: req, line: timeline.New[item](exact(req.Follow)), known: map[string]bool{}}
	defer s.tails.Wait()
	defer cancel()
	s.tails.Go(func() { s.find(ctx) })
	for {
		items := s.line.NextBatch(ctx, batch)
		if len(items) == 0 {
			return context.Cause(ctx)
		}
		if err := send(split(items)); err != nil {
			return err
		}
	}
}

// exact order is possible when nothing is being printed any more.
func exact(follow bool) time.Duration {
	if follow {
		return hold
	}
	return -1
}

func split(items []item) (lines []*gantryv1.LogLine, notices []string) {
	for _, i := range items {
		if i.line != nil {
			lines = append(lines, i.line)
		} else {
			notices = append(notices, i.notice)
		}
	}
	return lines, notices
}

// stream is one request being served.
type stream struct {
	reader Reader
	req    Request
	line   *timeline.Timeline[item]
	tails  sync.WaitGroup
	// Pods that are or have been read, by UID; only find uses it.
	known map[string]bool
}

// find reads each pod that there is and, when following, each that comes.
func (s *stream) find(ctx context.Context) {
	s.begin(ctx)
	if !s.req.Follow {
		s.line.Seal()
		return
	}
	for pause(ctx) {
		s.begin(ctx)
	}
}

func (s *stream) begin(ctx context.Context) {
	var pods []kube.Pod
	s.reader.Pods(func(p kube.Pod) {
		wanted := len(s.req.Pods) == 0 || slices.Contains(s.req.Pods, p.Name)
		if p.App == s.req.App && wanted && !s.known[p.UID] {
			pods = append(pods, p)
		}
	})
	for _, p := range pods {
		s.known[p.UID] = true
		t := &tail{stream: s, pod: p, out: s.line.Source()}
		s.tails.Go(func() { t.run(ctx) })
	}
}

// now gives the pod as it is now; false when the cluster has it no more, or
// nothing will run in it again.
func (s *stream) now(pod kube.Pod) (now kube.Pod, ok bool) {
	s.reader.Pods(func(p kube.Pod) {
		if p.UID == pod.UID {
			now, ok = p, !p.Finished
		}
	})
	return now, ok
}

// pause is false when ctx has ended.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(look):
		return true
	}
}
