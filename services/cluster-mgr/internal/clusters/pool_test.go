package clusters_test

import (
	"errors"
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/clusters"
	"google.golang.org/grpc"
)

// conn notes that it was closed.
type conn struct {
	grpc.ClientConnInterface
	closed *int
}

func (c conn) Close() error {
	*c.closed++
	return nil
}

func TestConnectionsAreKeptByNameAndAddress(t *testing.T) {
	var dialled []string
	closed := 0
	pool := clusters.NewDialing(func(commonName, address string) (grpc.ClientConnInterface, error) {
		if address == "" {
			return nil, errors.New("no address")
		}
		dialled = append(dialled, commonName+"@"+address)
		return conn{closed: &closed}, nil
	})
	cluster := func(name, address string) *gantryv1.Cluster {
		return &gantryv1.Cluster{Name: name, IpaasAddress: address}
	}
	for _, c := range []*gantryv1.Cluster{
		cluster("clusters/site-a", "10.0.0.1:7100"), cluster("clusters/site-a", "10.0.0.1:7100"),
		// Another name at the same address must prove to be that one.
		cluster("clusters/site-b", "10.0.0.1:7100"),
		cluster("clusters/site-a", "10.0.0.2:7100"),
	} {
		if _, err := pool.Ipaas(c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pool.Agent("main", "lb-1", "10.0.0.3:7300"); err != nil {
		t.Fatal(err)
	}
	want := []string{"ipaas.site-a@10.0.0.1:7100", "ipaas.site-b@10.0.0.1:7100", "ipaas.site-a@10.0.0.2:7100", "ingress-agent.main.lb-1@10.0.0.3:7300"}
	if len(dialled) != len(want) {
		t.Fatalf("dialled %v", dialled)
	}
	for i := range want {
		if dialled[i] != want[i] {
			t.Errorf("dialled %s, want %s", dialled[i], want[i])
		}
	}
	if _, err := pool.Ipaas(cluster("clusters/site-c", "")); err == nil {
		t.Error("a cluster without an address was reached")
	}
	if pool.Close(); closed != len(want) {
		t.Errorf("%d connections were closed", closed)
	}
}
