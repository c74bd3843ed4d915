package app

import (
	"errors"
	"io"
	"testing"

	"gantry.dev/pkg/fault"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
)

func TestHealthAndReflection(t *testing.T) {
	h, _ := start(t)
	// What probes a server has no token.
	open := healthv1.NewHealthClient(h.dial(""))
	for _, service := range []string{"", "gantry.v1.AppService"} {
		eventually(t, "serving "+service, func() bool {
			answer, err := open.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			return err == nil && answer.GetStatus() == healthv1.HealthCheckResponse_SERVING
		})
	}
	_, err := open.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "gantry.ipaas.v1.IpaasService"})
	if !fault.HasReason(err, "SERVICE_UNKNOWN") {
		t.Errorf("health of an internal service: %v", err)
	}
	watch, err := open.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if !fault.Is(err, fault.KindUnauthenticated) {
		t.Errorf("a stream without a token: %v", err)
	}
	conn := h.dial(h.token())
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	request := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil || len(answer.GetListServicesResponse().GetService()) == 0 {
		t.Errorf("got %v, %v", answer, err)
	}
	_ = stream.CloseSend()
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("end of the stream: %v", err)
	}
}
