package app

import (
	"testing"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/mtls/mtlstest"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

func TestOneClusterMgrDead(t *testing.T) {
	ca := mtlstest.New(t)
	one, two := startClusterMgr(t, ca.Issue("cluster-mgr")), startClusterMgr(t, ca.Issue("cluster-mgr"))
	h := startPortal(t, ca, one.address, two.address)
	conn := h.dial(h.token())
	get := func() error {
		_, err := gantryv1.NewAppServiceClient(conn).GetApp(t.Context(), &gantryv1.GetAppRequest{Name: web})
		return err
	}
	eventually(t, "both replicas are asked", func() bool {
		_ = get()
		return len(one.seen()) > 0 && len(two.seen()) > 0
	})
	one.server.Stop()
	for range 50 {
		if err := get(); !fault.Is(err, fault.KindNotFound) {
			t.Fatalf("a read must go to the living replica: %v", err)
		}
	}
	before := len(two.seen())
	two.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	eventually(t, "a replica that is not serving is left out", func() bool {
		err := get()
		return fault.Is(err, fault.KindUnavailable)
	})
	if before == 0 {
		t.Error("the living replica was not asked")
	}
}
