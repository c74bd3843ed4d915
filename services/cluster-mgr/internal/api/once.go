package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/proto"
)

// mutation is a request that changes something, perhaps with an id.
type mutation interface {
	proto.Message
	GetRequestId() string
}

// answered looks for the first answer to a request id and reads it into out
// (rule S5). etag is that of the resource as it was answered.
func (s *Services) answered(ctx context.Context, r mutation, out proto.Message) (etag string, found bool, err error) {
	if r.GetRequestId() == "" {
		return "", false, nil
	}
	item, err := s.Store.Requests.Get(ctx, answerName(ctx, r))
	if fault.Is(err, fault.KindNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	if !bytes.Equal(item.Value.Request, digest(r)) {
		return "", false, fault.Invalid("REQUEST_ID_REUSED", "request_id %q was used for another request; take a new one", r.GetRequestId())
	}
	if err := proto.Unmarshal(item.Value.Response, out); err != nil {
		return "", false, fmt.Errorf("read the first answer: %w", err)
	}
	return item.ETag(), true, nil
}

// commit makes a change together with the answer to its request id, and gives
// the etag of what it wrote.
func (s *Services) commit(ctx context.Context, change *store.Change, r mutation, answer proto.Message) (etag string, err error) {
	if r.GetRequestId() != "" {
		b, err := proto.Marshal(answer)
		if err != nil {
			return "", fmt.Errorf("keep the answer: %w", err)
		}
		s.Store.Requests.Put(change, answerName(ctx, r), store.Answer{Request: digest(r), Response: b}, 0)
	}
	revision, err := s.Store.Commit(ctx, change)
	return strconv.FormatInt(revision, 10), err
}

func answerName(ctx context.Context, r mutation) string {
	return user(ctx).User + "/" + r.GetRequestId()
}

// digest is the same for the same request.
func digest(r proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

// current refuses an etag that is not the stored one.
func current[T any](item store.Item[T], etag string) error {
	if etag != "" && etag != item.ETag() {
		return fault.Conflict("ETAG_MISMATCH", "%s has changed since you read it; read it again and repeat", item.Name)
	}
	return nil
}
