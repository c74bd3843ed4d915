package fault

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// domain is the ErrorInfo domain of every fault.
const domain = "gantry.dev"

func code(k Kind) codes.Code {
	switch k {
	case KindInvalid:
		return codes.InvalidArgument
	case KindNotFound:
		return codes.NotFound
	case KindExists:
		return codes.AlreadyExists
	case KindDenied:
		return codes.PermissionDenied
	case KindUnauthenticated:
		return codes.Unauthenticated
	case KindPrecondition:
		return codes.FailedPrecondition
	case KindConflict:
		return codes.Aborted
	case KindExhausted:
		return codes.ResourceExhausted
	case KindUnavailable:
		return codes.Unavailable
	case KindTimeout:
		return codes.DeadlineExceeded
	case KindUnimplemented:
		return codes.Unimplemented
	case KindCancelled:
		return codes.Canceled
	default:
		return codes.Internal
	}
}

func kind(c codes.Code) Kind {
	for k := KindInternal; k <= KindCancelled; k++ {
		if code(k) == c {
			return k
		}
	}
	if c == codes.OutOfRange {
		return KindInvalid
	}
	return KindInternal
}

// ToStatus is the one mapping of faults to gRPC: a status with an ErrorInfo
// (reason) and, for wrong fields, a BadRequest. Nil for nil.
func ToStatus(err error) *status.Status {
	f := From(err)
	if f == nil {
		return nil
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: f.Reason, Domain: domain}}
	if len(f.Violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range f.Violations {
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Description})
		}
		details = append(details, bad)
	}
	st := status.New(code(f.Kind), f.Message)
	full, err := st.WithDetails(details...)
	if err != nil {
		return st
	}
	return full
}

// fromStatus reads a fault back from a gRPC status; nil if err has none.
func fromStatus(err error) *Error {
	st, ok := status.FromError(err)
	if !ok {
		return nil
	}
	f := &Error{Kind: kind(st.Code()), Reason: reasonOf(st.Code()), Message: st.Message(), cause: err}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			f.Reason = d.GetReason()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				f.Violations = append(f.Violations, Violation{Field: v.GetField(), Description: v.GetDescription()})
			}
		}
	}
	return f
}

// reasonOf names a status that came without an ErrorInfo, from gRPC itself.
func reasonOf(c codes.Code) string {
	switch c {
	case codes.Unavailable:
		return "UNAVAILABLE"
	case codes.DeadlineExceeded:
		return "DEADLINE_EXCEEDED"
	case codes.Canceled:
		return "CANCELLED"
	case codes.Unimplemented:
		return "UNIMPLEMENTED"
	default:
		return "UNKNOWN"
	}
}
