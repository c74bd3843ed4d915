package kube

import (
	"context"
	"fmt"
	"io"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/ipaas/internal/render"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LogOptions say which part of a log is wanted.
type LogOptions struct {
	// Go on until the container ends.
	Follow bool
	// The container before the last restart.
	Previous bool
	// Zero: from the beginning. The second counts, not its parts.
	Since time.Time
	// Last lines only; 0: all.
	Tail int64
}

// OpenLog reads, over a connection of its own so that a slow reader holds up
// nobody, what the app's container in a pod has printed, as lines that
// begin with their time (RFC 3339, in nanoseconds) and a space. Faults:
// LOG_NOT_THERE when the container has not started, or there was none before;
// POD_NOT_FOUND.
func (a Access) OpenLog(ctx context.Context, namespace, pod string, o LogOptions) (io.ReadCloser, error) {
	options := &corev1.PodLogOptions{Container: render.Container, Follow: o.Follow, Previous: o.Previous, Timestamps: true}
	if !o.Since.IsZero() {
		since := metav1.NewTime(o.Since)
		options.SinceTime = &since
	}
	if o.Tail > 0 {
		options.TailLines = &o.Tail
	}
	lines, err := a.Probe.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fault.NotFound("POD_NOT_FOUND", "there is no pod %s any more", pod)
	case apierrors.IsBadRequest(err):
		return nil, fault.Precondition("LOG_NOT_THERE", "%s has no such log: %w", pod, err)
	}
	return lines, faultOf(err, fmt.Sprintf("read the log of %s/%s", namespace, pod))
}
