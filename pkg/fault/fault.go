// Package fault is the one vocabulary of errors in Gantry. A fault has a kind
// (what a caller can do about it), a stable reason (what a program matches)
// and a sentence for a person that says what to do next. It crosses gRPC
// unchanged: fault.Is works on both sides.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what a caller can do about an error.
type Kind int

// The kinds; each maps to one gRPC code and one exit code of the command line.
const (
	KindInternal        Kind = iota // a defect of ours
	KindInvalid                     // the request is wrong in itself
	KindNotFound                    // the named thing is not there (or not for you)
	KindExists                      // the name or claim is taken
	KindDenied                      // known caller, missing permission
	KindUnauthenticated             // unknown caller
	KindPrecondition                // the state forbids it; waiting or another call helps
	KindConflict                    // somebody else wrote in between: read again
	KindExhausted                   // quota, capacity or size used up
	KindUnavailable                 // a part does not answer: try again
	KindTimeout                     // the deadline passed; the outcome is unknown
	KindUnimplemented               // no such method
	KindCancelled                   // the caller gave up
)

// A Violation names one wrong field of a request.
type Violation struct {
	// Path of the field, "app.spec.image".
	Field string
	// What is wrong and what is expected.
	Description string
}

// Error is a fault. Build it with the constructors below.
type Error struct {
	Kind Kind
	// Stable, UPPER_SNAKE.
	Reason string
	// For a person: what happened and what to do next.
	Message    string
	Violations []Violation
	cause      error
}

func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause named with %w, if any.
func (e *Error) Unwrap() error { return e.cause }

// With returns a copy of e that names more wrong fields.
func (e *Error) With(violations ...Violation) *Error {
	c := *e
	c.Violations = append(append([]Violation(nil), e.Violations...), violations...)
	return &c
}

// New builds a fault; format may hold %w.
func New(kind Kind, reason, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Reason: reason, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Invalid is a request that is wrong in itself.
func Invalid(reason, format string, args ...any) *Error {
	return New(KindInvalid, reason, format, args...)
}

// NotFound is a named thing that is not there.
func NotFound(reason, format string, args ...any) *Error {
	return New(KindNotFound, reason, format, args...)
}

// Exists is a name or claim that is taken.
func Exists(reason, format string, args ...any) *Error {
	return New(KindExists, reason, format, args...)
}

// Denied is a known caller without the permission.
func Denied(reason, format string, args ...any) *Error {
	return New(KindDenied, reason, format, args...)
}

// Unauthenticated is a caller that did not prove who it is.
func Unauthenticated(reason, format string, args ...any) *Error {
	return New(KindUnauthenticated, reason, format, args...)
}

// Precondition is a state that forbids the call.
func Precondition(reason, format string, args ...any) *Error {
	return New(KindPrecondition, reason, format, args...)
}

// Conflict is a write that lost against another one.
func Conflict(reason, format string, args ...any) *Error {
	return New(KindConflict, reason, format, args...)
}

// Exhausted is a quota, capacity or size that is used up.
func Exhausted(reason, format string, args ...any) *Error {
	return New(KindExhausted, reason, format, args...)
}

// Unavailable is a part that does not answer.
func Unavailable(reason, format string, args ...any) *Error {
	return New(KindUnavailable, reason, format, args...)
}

// Timeout is a deadline that passed; the outcome is unknown.
func Timeout(reason, format string, args ...any) *Error {
	return New(KindTimeout, reason, format, args...)
}

// Internal is a defect of ours.
func Internal(reason, format string, args ...any) *Error {
	return New(KindInternal, reason, format, args...)
}

// From finds the fault in any error: a fault in its chain, a gRPC status, a
// context error; anything else is internal. Nil for nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var f *Error
	if errors.As(err, &f) {
		return withContext(f, err)
	}
	if f := fromStatus(err); f != nil {
		return f
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout("DEADLINE_EXCEEDED", "%w", err)
	case errors.Is(err, context.Canceled):
		return New(KindCancelled, "CANCELLED", "%w", err)
	}
	return Internal("INTERNAL", "%w", err)
}

// withContext keeps what callers put around f with fmt.Errorf.
func withContext(f *Error, err error) *Error {
	if err.Error() == f.Message {
		return f
	}
	c := *f
	c.Message, c.cause = err.Error(), err
	return &c
}

// Is tells whether err is a fault of this kind.
func Is(err error, kind Kind) bool {
	return err != nil && From(err).Kind == kind
}

// HasReason tells whether err is a fault with this reason.
func HasReason(err error, reason string) bool {
	return err != nil && From(err).Reason == reason
}
