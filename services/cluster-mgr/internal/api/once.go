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
	"google.golang.org/protobuf/reflect/protoreflect"
)

// mutation is a request that changes something, perhaps with an id.
type mutation interface {
	proto.Message
	GetRequestId() string
}

// tries bounds how often a change is made anew.
const tries = 5

// again makes a change anew, from what is there now, when somebody else wrote
// what it depends on meanwhile: the caller named a wish, not a revision. One
// who did name a revision gets ETAG_MISMATCH then.
func again[T any](ctx context.Context, change func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		out, err := change()
		if !fault.HasReason(err, "CHANGED_MEANWHILE") || try == tries || ctx.Err() != nil {
			return out, err
		}
	}
}

// once answers a request as it was answered first; a new one, it carries out,
// and of two that run at once, one (rule S5).
func once[T proto.Message](ctx context.Context, s *Services, r mutation, change func() (T, error)) (T, error) {
	return again(ctx, func() (T, error) {
		var none T
		first := none.ProtoReflect().New()
		found, err := s.answered(ctx, r, first.Interface())
		if !found && err == nil {
			return change()
		}
		out, ok := first.Interface().(T)
		if err != nil || !ok {
			return none, err
		}
		return out, nil
	})
}

// answered looks for the first answer to a request id and reads it into out,
// with the etag of the resource as it was answered.
func (s *Services) answered(ctx context.Context, r mutation, out proto.Message) (bool, error) {
	if r.GetRequestId() == "" {
		return false, nil
	}
	item, err := s.Store.Requests.Get(ctx, answerName(ctx, r))
	if fault.Is(err, fault.KindNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !bytes.Equal(item.Value.Request, digest(r)) {
		return false, fault.Invalid("REQUEST_ID_REUSED", "request_id %q was used for another request; take a new one", r.GetRequestId())
	}
	if item.Value.Response == nil {
		return false, underWay(r)
	}
	if err := proto.Unmarshal(item.Value.Response, out); err != nil {
		return false, fmt.Errorf("read the first answer: %w", err)
	}
	stamp(out, item.ETag())
	return true, nil
}

// underWay is the answer to a request whose twin has not ended yet.
func underWay(r mutation) error {
	return fault.Unavailable("REQUEST_UNDER_WAY", "the same request (request_id %q) is being carried out; repeat it in a moment to get its answer", r.GetRequestId())
}

// stamp sets the etag of an answer that has none: it was written together with
// the resource, at one revision.
func stamp(m proto.Message, etag string) {
	f := m.ProtoReflect().Descriptor().Fields().ByName("etag")
	if f != nil && f.Kind() == protoreflect.StringKind && !m.ProtoReflect().Has(f) {
		m.ProtoReflect().Set(f, protoreflect.ValueOfString(etag))
	}
}

// commit makes a change together with the answer to its request id, and gives
// the etag of what it wrote.
func (s *Services) commit(ctx context.Context, change *store.Change, r mutation, answer proto.Message) (etag string, err error) {
	if r.GetRequestId() != "" {
		value, err := kept(r, answer)
		if err != nil {
			return "", err
		}
		s.Store.Requests.Put(change, answerName(ctx, r), value, 0)
	}
	revision, err := s.Store.Commit(ctx, change)
	return strconv.FormatInt(revision, 10), err
}

// unchanged keeps the answer to a request that has nothing to change: a later
// retry gets it, whatever has changed since. expect adds what the answer
// depends on.
func (s *Services) unchanged(ctx context.Context, r mutation, answer proto.Message, expect func(*store.Change)) error {
	if v, ok := r.(interface{ GetValidateOnly() bool }); r.GetRequestId() == "" || ok && v.GetValidateOnly() {
		return nil
	}
	change := store.NewChange()
	expect(change)
	_, err := s.commit(ctx, change, r, answer)
	return err
}

func kept(r mutation, answer proto.Message) (store.Answer, error) {
	b, err := proto.Marshal(answer)
	if err != nil {
		return store.Answer{}, fmt.Errorf("keep the answer: %w", err)
	}
	return store.Answer{Request: digest(r), Response: b}, nil
}

func answerName(ctx context.Context, r mutation) string {
	return user(ctx).User + "/" + r.GetRequestId()
}

// digest is the same for the same request to the same method.
func digest(r proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(append([]byte(r.ProtoReflect().Descriptor().FullName()+"\n"), b...))
	return sum[:]
}

// current refuses an etag that is not the stored one.
func current[T any](item store.Item[T], etag string) error {
	if etag != "" && etag != item.ETag() {
		return fault.Conflict("ETAG_MISMATCH", "%s has changed since you read it; read it again and repeat", item.Name)
	}
	return nil
}
