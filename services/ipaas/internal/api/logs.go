package api

import (
	"context"
	"regexp"

	"gantry.dev/pkg/fault"
	ipaasv1 "gantry.dev/proto/gen/gantry/ipaas/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/kube"
	"gantry.dev/services/ipaas/internal/labels"
	"gantry.dev/services/ipaas/internal/logs"
	"google.golang.org/grpc"
)

func (s *Service) StreamLogs(req *ipaasv1.StreamLogsRequest, stream grpc.ServerStreamingServer[ipaasv1.StreamLogsResponse]) error {
	if _, err := s.ready(); err != nil {
		return err
	}
	wanted, err := logsWanted(req)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	go func() {
		select {
		case <-s.Stopping:
			cancel(fault.Unavailable("STOPPING", "this ipaas stops; ask again"))
		case <-ctx.Done():
		}
	}()
	return s.Logs.Stream(ctx, wanted, func(lines []*gantryv1.LogLine, notices []string) error {
		return stream.Send(&ipaasv1.StreamLogsResponse{Lines: lines, Notices: notices})
	})
}

func logsWanted(req *ipaasv1.StreamLogsRequest) (logs.Request, error) {
	app, err := labels.Parse(req.GetApp())
	if err != nil {
		return logs.Request{}, err
	}
	wanted := logs.Request{App: app, Pods: req.GetPods(), LogOptions: kube.LogOptions{
		Follow: req.GetFollow(), Previous: req.GetPrevious(), Tail: int64(req.GetTailLines()),
	}}
	if req.GetSinceTime() != nil {
		wanted.Since = req.GetSinceTime().AsTime()
	}
	if req.GetMatch() == "" {
		return wanted, nil
	}
	if wanted.Match, err = regexp.Compile(req.GetMatch()); err != nil {
		return logs.Request{}, fault.Invalid("MATCH_INVALID", "match: %w", err)
	}
	return wanted, nil
}
