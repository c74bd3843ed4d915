package endpoints

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// partial is an ipaas whose streams break within the list: it names one app as
// empty, then fails, or says nothing more.
type partial struct {
	ipaasv1.UnimplementedIpaasServiceServer
	hang atomic.Bool
}

func (p *partial) WatchEndpoints(_ *ipaasv1.WatchEndpointsRequest, s grpc.ServerStreamingServer[ipaasv1.WatchEndpointsResponse]) error {
	err := s.Send(&ipaasv1.WatchEndpointsResponse{Endpoints: &ipaasv1.WatchEndpointsResponse_AppEndpoints{App: "x"}, Identity: "uid"})
	if err != nil || !p.hang.Load() {
		return errors.Join(err, errors.New("its API server is away"))
	}
	<-s.Context().Done()
	return s.Context().Err()
}

// rule I6, C1: over a day neither a cluster that cannot be reached nor one that
// gives only parts of lists changes what is known, and nothing expires.
func TestADayWithoutWholeLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, ipaas, listener := grpc.NewServer(), &partial{}, bufconn.Listen(1<<16)
		ipaasv1.RegisterIpaasServiceServer(server, ipaas)
		served := make(chan struct{})
		go func() { defer close(served); _ = server.Serve(listener) }()
		changes, dials := atomic.Int64{}, atomic.Int64{}
		store := NewStore(ByCluster{"away": {"x": {"10.0.0.1"}}, "broken": {"x": {"10.1.0.1"}}}, func() { changes.Add(1) })
		w := NewWatcher(Config{Store: store, Logger: slog.New(slog.DiscardHandler), Dial: func(c Cluster) (*grpc.ClientConn, error) {
			dials.Add(1)
			if c.Name == "away" {
				return nil, errors.New("no route to host")
			}
			return grpc.NewClient("passthrough:broken", grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		}})
		ctx, cancel := context.WithCancel(t.Context())
		w.Update(ctx, []Cluster{{Name: "away", Identity: "uid"}, {Name: "broken", Identity: "uid"}}, []string{"x"})
		time.Sleep(time.Hour)
		ipaas.hang.Store(true)
		time.Sleep(23 * time.Hour)
		known := store.Snapshot()
		if !slices.Equal(known["away"]["x"], []string{"10.0.0.1"}) || !slices.Equal(known["broken"]["x"], []string{"10.1.0.1"}) || changes.Load() != 0 {
			t.Errorf("after a day: %v, %d changes", known, changes.Load())
		}
		if store.Connected("away") || store.Connected("broken") || dials.Load() < 10000 {
			t.Errorf("connected, or given up after %d attempts", dials.Load())
		}
		cancel()
		w.Wait()
		server.Stop()
		<-served
	})
}
