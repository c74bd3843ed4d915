package api_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// talking is an ipaas whose app prints a line at each of some seconds. The
// first stream breaks after some lines.
type talking struct {
	ipaas
	seconds []int64
	breaks  int
	calls   atomic.Int32
	asked   atomic.Pointer[ipaasv1.StreamLogsRequest]
}

func (i *talking) StreamLogs(r *ipaasv1.StreamLogsRequest, stream grpc.ServerStreamingServer[ipaasv1.StreamLogsResponse]) error {
	i.asked.Store(r)
	first := i.calls.Add(1) == 1
	for n, second := range i.seconds {
		if first && i.breaks > 0 && n == i.breaks {
			return fault.Unavailable("STOPPING", "this ipaas stops")
		}
		line := &gantryv1.LogLine{Pod: "web-1", Time: timestamppb.New(time.Unix(second, 0)), Text: fmt.Sprint(second)}
		if err := stream.Send(&ipaasv1.StreamLogsResponse{Lines: []*gantryv1.LogLine{line}}); err != nil {
			return err
		}
	}
	if r.GetFollow() {
		<-stream.Context().Done()
	}
	return nil
}

// lines reads a stream until it ends, or there are so many.
func (h *harness) lines(stream grpc.ServerStreamingClient[gantryv1.StreamLogsResponse], most int) (lines, notices []string) {
	h.t.Helper()
	for len(lines) < most {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		h.ok(err)
		for _, l := range r.GetLines() {
			lines = append(lines, strings.TrimPrefix(l.GetCluster(), "clusters/")+":"+l.GetText())
		}
		notices = append(notices, r.GetNotices()...)
	}
	return lines, notices
}

func TestLogsOfAllClusters(t *testing.T) {
	h := newHarness(t)
	h.platform()
	clusters := gantryv1.NewClusterServiceClient(h.conn)
	b, c := &talking{ipaas: ipaas{identity: "uid-b"}, seconds: []int64{1, 4, 4, 5}}, &talking{ipaas: ipaas{identity: "uid-c"}, seconds: []int64{2, 3, 3, 6}, breaks: 2}
	for name, of := range map[string]*talking{"site-b": b, "site-c": c} {
		_, err := clusters.CreateCluster(h.admin(), &gantryv1.CreateClusterRequest{Cluster: h.clusterOf(name, of)})
		h.ok(err)
	}
	_, err := h.apply(web())
	h.ok(err)
	apps := gantryv1.NewAppServiceClient(h.conn)

	// What breaks off while following goes on, nothing twice, nothing lost.
	stream, err := apps.StreamLogs(h.as("vic"), &gantryv1.StreamLogsRequest{Name: "projects/pay/apps/web", Follow: true, Match: "[0-9]", Clusters: []string{"clusters/site-c"}})
	h.ok(err)
	lines, notices := h.lines(stream, 4)
	if want := []string{"site-c:2", "site-c:3", "site-c:3", "site-c:6"}; !slices.Equal(lines, want) || len(notices) != 1 || c.asked.Load().GetMatch() != "[0-9]" {
		t.Errorf("got %q, %q", lines, notices)
	}

	// All clusters as one; one that cannot tell (site-a has no logs) is named.
	stream, err = apps.StreamLogs(h.as("vic"), &gantryv1.StreamLogsRequest{Name: "projects/pay/apps/web"})
	h.ok(err)
	lines, notices = h.lines(stream, 100)
	if want := []string{"site-b:1", "site-c:2", "site-c:3", "site-c:3", "site-b:4", "site-b:4", "site-b:5", "site-c:6"}; !slices.Equal(lines, want) {
		t.Errorf("got %q", lines)
	}
	if len(notices) != 1 || !strings.HasPrefix(notices[0], "site-a: its pods' lines are missing") {
		t.Errorf("notices %q", notices)
	}
}

func TestLogsRefused(t *testing.T) {
	h := newHarness(t)
	h.platform()
	_, err := h.apply(web())
	h.ok(err)
	apps := gantryv1.NewAppServiceClient(h.conn)
	for reason, r := range map[string]struct {
		user string
		r    *gantryv1.StreamLogsRequest
	}{
		"MATCH_INVALID":     {"vic", &gantryv1.StreamLogsRequest{Name: "projects/pay/apps/web", Match: "("}},
		"PREVIOUS_ENDED":    {"vic", &gantryv1.StreamLogsRequest{Name: "projects/pay/apps/web", Follow: true, Previous: true}},
		"CLUSTER_NOT_FOUND": {"vic", &gantryv1.StreamLogsRequest{Name: "projects/pay/apps/web", Clusters: []string{"clusters/moon"}}},
		"APP_NOT_FOUND":     {"vic", &gantryv1.StreamLogsRequest{Name: "projects/pay/apps/none"}},
		"PROJECT_NOT_FOUND": {"eve", &gantryv1.StreamLogsRequest{Name: "projects/pay/apps/web"}},
	} {
		stream, err := apps.StreamLogs(h.as(r.user), r.r)
		h.ok(err)
		_, err = stream.Recv()
		h.refused(err, reason)
	}
}
