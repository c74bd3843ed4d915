package cli

import (
	"time"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// StreamLogs has three lines and, for who follows, breaks off after two of
// them the first time.
func (p *platform) StreamLogs(r *gantryv1.StreamLogsRequest, out grpc.ServerStreamingServer[gantryv1.StreamLogsResponse]) error {
	p.mu.Lock()
	p.logs = append(p.logs, r)
	first := len(p.logs) == 1
	p.mu.Unlock()
	for i, pod := range []string{"clusters/site-a/web-1", "clusters/site-b/web-2", "clusters/site-a/web-1"} {
		if r.GetFollow() && first && i == 2 {
			return fault.ToStatus(fault.Unavailable("STOPPING", "cluster-mgr stops")).Err()
		}
		line := &gantryv1.LogLine{Cluster: pod[:15], Pod: pod[16:], Time: timestamppb.New(epoch.Add(time.Duration(i) * time.Second)), Text: []string{"one", "two", "three"}[i]}
		if err := out.Send(&gantryv1.StreamLogsResponse{Lines: []*gantryv1.LogLine{line}}); err != nil {
			return err
		}
	}
	return out.Send(&gantryv1.StreamLogsResponse{Notices: []string{"site-b/web-3 has printed nothing: the image is missing"}})
}
