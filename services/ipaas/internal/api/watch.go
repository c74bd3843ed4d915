package api

import (
	"time"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	"gantry.dev/services/ipaas/internal/endpoints"
	"google.golang.org/grpc"
)

// bookmarkInterval is how often a stream shows that it lives.
const bookmarkInterval = 10 * time.Second

type endpointStream = grpc.ServerStreamingServer[ipaasv1.WatchEndpointsResponse]

func (s *Service) WatchEndpoints(req *ipaasv1.WatchEndpointsRequest, stream endpointStream) error {
	health, err := s.ready()
	if err != nil {
		return err
	}
	watcher, err := s.Hub.Watch(req.GetApps())
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := sendChanged(stream, watcher, health.Identity); err != nil {
		return err
	}
	bookmark := &ipaasv1.WatchEndpointsResponse{Bookmark: true, Identity: health.Identity}
	if err := stream.Send(bookmark); err != nil {
		return err
	}
	return s.follow(stream, watcher, bookmark)
}

func (s *Service) follow(stream endpointStream, watcher *endpoints.Watcher, bookmark *ipaasv1.WatchEndpointsResponse) error {
	tick := time.NewTicker(bookmarkInterval)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-s.Stopping:
			return fault.Unavailable("STOPPING", "this ipaas stops; watch again")
		case <-watcher.Changed():
			err = sendChanged(stream, watcher, bookmark.GetIdentity())
		case <-tick.C:
			err = stream.Send(bookmark)
		}
		if err != nil {
			return err
		}
	}
}

func sendChanged(stream endpointStream, watcher *endpoints.Watcher, identity string) error {
	for _, app := range watcher.Take() {
		event := &ipaasv1.WatchEndpointsResponse_AppEndpoints{App: app.Name}
		for _, a := range app.Addresses {
			event.Addresses = append(event.Addresses, a.String())
		}
		if err := stream.Send(&ipaasv1.WatchEndpointsResponse{Endpoints: event, Identity: identity}); err != nil {
			return err
		}
	}
	return nil
}
