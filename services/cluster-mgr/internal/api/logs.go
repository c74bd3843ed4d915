package api

import (
	"context"
	"errors"
	"io"
	"regexp"
	"slices"
	"sync"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/names"
	"gantry.dev/pkg/timeline"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// logHold is how long a line waits for those of other clusters while
	// following, logRetry the time between two tries to reach a cluster.
	logHold  = 250 * time.Millisecond
	logRetry = 2 * time.Second
	logBatch = 256
	// logBehind is how far a pod's lines may be behind those of others.
	logBehind = time.Minute
)

// StreamLogs merges what the clusters send. At most some lines of each are in
// memory: a caller who does not read stops the containers' logs from being
// read, and nobody else's.
func (s *appService) StreamLogs(r *gantryv1.StreamLogsRequest, stream grpc.ServerStreamingServer[gantryv1.StreamLogsResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	clusters, err := s.logClusters(ctx, r)
	if err != nil {
		cancel()
		return err
	}
	line := timeline.New[logItem](logOrder(r))
	var voices sync.WaitGroup
	defer voices.Wait()
	defer cancel()
	for _, c := range clusters {
		v := &logVoice{appService: s, request: r, cluster: c, out: line.Source(), marks: map[string]*timeline.Mark{}}
		voices.Go(func() { v.run(ctx) })
	}
	line.Seal()
	for {
		items := line.NextBatch(ctx, logBatch)
		if len(items) == 0 {
			return stream.Context().Err()
		}
		if err := stream.Send(logResponse(items)); err != nil {
			return err
		}
	}
}

// logClusters checks the request and gives the clusters that it is about.
func (s *appService) logClusters(ctx context.Context, r *gantryv1.StreamLogsRequest) ([]*gantryv1.Cluster, error) {
	if r.GetFollow() && r.GetPrevious() {
		return nil, fault.Invalid("PREVIOUS_ENDED", "previous: the former container prints nothing any more; leave out follow")
	}
	if _, err := regexp.Compile(r.GetMatch()); err != nil {
		return nil, fault.Invalid("MATCH_INVALID", "match: %w", err)
	}
	if _, err := s.Store.Apps.Get(ctx, r.GetName()); err != nil {
		return nil, err
	}
	all, _, err := s.Store.Clusters.List(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, name := range r.GetClusters() {
		if !slices.ContainsFunc(all, func(c store.Item[*gantryv1.Cluster]) bool { return c.Name == name }) {
			return nil, fault.NotFound("CLUSTER_NOT_FOUND", "clusters: there is no %s", name)
		}
	}
	var wanted []*gantryv1.Cluster
	for _, c := range all {
		if len(r.GetClusters()) == 0 || slices.Contains(r.GetClusters(), c.Name) {
			wanted = append(wanted, c.Value)
		}
	}
	return wanted, nil
}

func logOrder(r *gantryv1.StreamLogsRequest) time.Duration {
	if r.GetFollow() {
		return logHold
	}
	return -1
}

// logItem is a line, or a sentence about what is missing.
type logItem struct {
	line   *gantryv1.LogLine
	notice string
}

func logResponse(items []logItem) *gantryv1.StreamLogsResponse {
	out := &gantryv1.StreamLogsResponse{}
	for _, i := range items {
		if i.line != nil {
			out.Lines = append(out.Lines, i.line)
		} else {
			out.Notices = append(out.Notices, i.notice)
		}
	}
	return out
}

// logVoice is what one cluster says.
type logVoice struct {
	*appService
	request *gantryv1.StreamLogsRequest
	cluster *gantryv1.Cluster
	out     *timeline.Source[logItem]
	// Time of the last line, and where each pod's lines go on after a break.
	latest time.Time
	marks  map[string]*timeline.Mark
	// The break has been told.
	broken bool
}

func (v *logVoice) run(ctx context.Context) {
	defer v.out.Close()
	for {
		err := v.listen(ctx)
		if ctx.Err() != nil || err == nil && !v.request.GetFollow() {
			return
		}
		if err != nil && !v.broken {
			v.broken = true
			v.notice(ctx, names.ID(v.cluster.GetName())+": its pods' lines are missing: "+fault.From(err).Error())
		}
		if !v.request.GetFollow() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(logRetry):
		}
	}
}

func (v *logVoice) notice(ctx context.Context, sentence string) {
	_ = v.out.Put(ctx, v.latest, logItem{notice: sentence}) // ctx has ended
}

// listen sends on what the cluster's ipaas says until it ends.
func (v *logVoice) listen(ctx context.Context) error {
	client, err := v.Pool.Ipaas(v.cluster)
	if err != nil {
		return err
	}
	stream, err := client.StreamLogs(ctx, v.question())
	if err != nil {
		return err
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		v.broken = false
		if err := v.forward(ctx, r); err != nil {
			return err
		}
	}
}

func (v *logVoice) question() *ipaasv1.StreamLogsRequest {
	r := v.request
	q := &ipaasv1.StreamLogsRequest{
		App: r.GetName(), Follow: r.GetFollow(), SinceTime: r.GetSinceTime(), TailLines: r.GetTailLines(),
		Previous: r.GetPrevious(), Match: r.GetMatch(), Pods: r.GetPods(),
	}
	if !v.latest.IsZero() {
		for _, m := range v.marks {
			m.Resume()
		}
		// Some pods' lines may have been behind those of others.
		q.SinceTime, q.TailLines = timestamppb.New(v.latest.Add(-logBehind)), 0
	}
	return q
}

func (v *logVoice) forward(ctx context.Context, r *ipaasv1.StreamLogsResponse) error {
	for _, sentence := range r.GetNotices() {
		v.notice(ctx, names.ID(v.cluster.GetName())+"/"+sentence)
	}
	for _, l := range r.GetLines() {
		at := l.GetTime().AsTime()
		if v.marks[l.GetPod()] == nil {
			v.marks[l.GetPod()] = &timeline.Mark{}
		}
		if !v.marks[l.GetPod()].New(at) {
			continue
		}
		l.Cluster, v.latest = v.cluster.GetName(), at
		if err := v.out.Put(ctx, at, logItem{line: l}); err != nil {
			return err
		}
	}
	return nil
}
