package api

import (
	"context"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"gantry.dev/pkg/fault"
	"gantry.dev/services/cluster-mgr/internal/store"
)

const (
	// underWayPause is the time between two looks whether a twin has ended.
	underWayPause = 100 * time.Millisecond
	// underWayTime is how long a request waits for its twin.
	underWayTime = 10 * time.Second
	// closeTime bounds putting down how a start ended, also for a caller that
	// has gone.
	closeTime = 5 * time.Second
)

// startOnce starts an operation unless the request id has started one. Since
// operations are stored by whoever plans them, the id is taken first and the
// answer put in its place; should this process die in between, the id is free
// again after a minute. A start that loses a race is made anew and then says
// what it lost against.
func (s *Services) startOnce(ctx context.Context, r mutation, start func() (*longrunningpb.Operation, error)) (*longrunningpb.Operation, error) {
	if r.GetRequestId() == "" {
		return again(ctx, start)
	}
	taken, first, err := s.take(ctx, r)
	if err != nil || first != nil {
		return first, err
	}
	o, err := again(ctx, start)
	if endErr := s.closeStart(ctx, r, taken, o, err); err == nil && endErr != nil {
		s.Logger.Warn("the answer to a request is not kept; a retry starts it anew", "operation", o.GetName(), "error", endErr)
	}
	return o, err
}

// take makes a request id ours and gives its revision, or the answer of the
// twin that had it first.
func (s *Services) take(ctx context.Context, r mutation) (int64, *longrunningpb.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, underWayTime)
	defer cancel()
	for {
		first := &longrunningpb.Operation{}
		found, err := s.answered(ctx, r, first)
		switch {
		case found:
			return 0, first, nil
		case err == nil:
			change := store.NewChange()
			s.Store.Begun.Put(change, answerName(ctx, r), store.Answer{Request: digest(r)}, 0)
			revision, err := s.Store.Commit(ctx, change)
			if !fault.HasReason(err, "CHANGED_MEANWHILE") {
				return revision, nil, err
			}
		case !fault.HasReason(err, "REQUEST_UNDER_WAY"):
			return 0, nil, err
		}
		select {
		case <-ctx.Done():
			return 0, nil, underWay(r)
		case <-time.After(underWayPause):
		}
	}
}

// closeStart puts the answer in the place of the taken id, or frees it when
// nothing was started.
func (s *Services) closeStart(ctx context.Context, r mutation, taken int64, o *longrunningpb.Operation, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	change := store.NewChange()
	if failed != nil {
		s.Store.Begun.Delete(change, answerName(ctx, r), taken)
	} else {
		value, err := kept(r, o)
		if err != nil {
			return err
		}
		s.Store.Requests.Put(change, answerName(ctx, r), value, taken)
	}
	_, err := s.Store.Commit(ctx, change)
	return err
}
