package kube

import (
	"context"
	"errors"

	"gantry.dev/pkg/fault"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// faultOf says what a caller can do about an error of the API server. Only a
// clear answer is more than "unavailable": timeouts, names that do not
// resolve, certificates and 5xx tell nothing about the object (rule K2).
func faultOf(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fault.New(fault.KindCancelled, "CANCELLED", "%s: %w", what, err)
	case errors.Is(err, context.DeadlineExceeded), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		return fault.Timeout("KUBERNETES_TIMEOUT", "%s: the API server did not answer in time, the outcome is unknown; try again: %w", what, err)
	case apierrors.HasStatusCause(err, "NamespaceTerminating"):
		return fault.Precondition("NAMESPACE_TERMINATING", "%s: the namespace is being deleted; wait until it is gone: %w", what, err)
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fault.Precondition("KUBERNETES_FORBIDDEN", "%s: the cluster does not let ipaas do this; check its role gantry:ipaas: %w", what, err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return fault.Invalid("KUBERNETES_INVALID", "%s: the cluster refuses the object: %w", what, err)
	case apierrors.IsConflict(err):
		return fault.Conflict("FIELD_CONFLICT", "%s: somebody else changes it in the cluster; make them let go of it and try again: %w", what, err)
	}
	return fault.Unavailable("KUBERNETES_UNAVAILABLE", "%s: the API server gives no clear answer; try again: %w", what, err)
}

// asFault is faultOf for errors that may be faults already.
func asFault(err error, what string) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	return faultOf(err, what)
}
