package fault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"gantry.dev/pkg/fault"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAFaultCrossesGRPCUnchanged(t *testing.T) {
	kinds := []fault.Kind{
		fault.KindInternal, fault.KindInvalid, fault.KindNotFound, fault.KindExists, fault.KindDenied,
		fault.KindUnauthenticated, fault.KindPrecondition, fault.KindConflict, fault.KindExhausted,
		fault.KindUnavailable, fault.KindTimeout, fault.KindUnimplemented, fault.KindCancelled,
	}
	for _, kind := range kinds {
		sent := fault.New(kind, "SOME_REASON", "do this next").With(fault.Violation{Field: "app.name", Description: "too long"})
		got := fault.From(fault.ToStatus(sent).Err())
		if got.Kind != kind || got.Reason != "SOME_REASON" || got.Message != "do this next" {
			t.Errorf("kind %d came back as %d %q %q", kind, got.Kind, got.Reason, got.Message)
		}
		if diff := cmp.Diff(sent.Violations, got.Violations); diff != "" {
			t.Errorf("violations changed (-sent +got):\n%s", diff)
		}
	}
}

func TestFrom(t *testing.T) {
	cause := errors.New("disk full")
	tests := []struct {
		name    string
		err     error
		kind    fault.Kind
		reason  string
		message string
	}{
		{"plain error", cause, fault.KindInternal, "INTERNAL", "disk full"},
		{"wrapped fault keeps the words around it", fmt.Errorf("get app: %w", fault.NotFound("APP_NOT_FOUND", "no app web")), fault.KindNotFound, "APP_NOT_FOUND", "get app: no app web"},
		{"deadline", fmt.Errorf("ask: %w", context.DeadlineExceeded), fault.KindTimeout, "DEADLINE_EXCEEDED", "ask: context deadline exceeded"},
		{"cancelled", context.Canceled, fault.KindCancelled, "CANCELLED", "context canceled"},
		{"status of gRPC itself", status.Error(codes.Unavailable, "connection refused"), fault.KindUnavailable, "UNAVAILABLE", "connection refused"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			f := fault.From(tc.err)
			if f.Kind != tc.kind || f.Reason != tc.reason || f.Message != tc.message {
				t.Errorf("got %d %s %q, want %d %s %q", f.Kind, f.Reason, f.Message, tc.kind, tc.reason, tc.message)
			}
			if !fault.Is(tc.err, tc.kind) || !fault.HasReason(tc.err, tc.reason) {
				t.Error("Is or HasReason disagrees with From")
			}
		})
	}
	if fault.From(nil) != nil || fault.ToStatus(nil) != nil || fault.Is(nil, fault.KindInternal) {
		t.Error("nil is no fault")
	}
}

func TestTheCauseStaysReachable(t *testing.T) {
	cause := errors.New("disk full")
	err := fault.Unavailable("STORE_UNAVAILABLE", "the store does not answer: %w", cause)
	if !errors.Is(err, cause) || !errors.Is(fault.From(fmt.Errorf("put: %w", err)), cause) {
		t.Error("the cause is lost")
	}
}
