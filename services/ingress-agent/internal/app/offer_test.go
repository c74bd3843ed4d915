package app

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"gantry.dev/pkg/etcdkv"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// pairConfig is a gateway of two nodes.
func pairConfig() *ingressv1.GatewayConfig {
	return &ingressv1.GatewayConfig{
		Gateway: "main", Generation: 1, Epoch: 1, Vip: vipAddress, VirtualRouterId: 51,
		Nodes: []*ingressv1.Node{{Name: "lb-1", Address: "10.99.0.11", Priority: 100}, {Name: "lb-2", Address: "10.99.0.12", Priority: 90}},
		Routes: []*ingressv1.Route{{
			Name: "projects/shop/routes/web", Host: webHost, PathPrefix: "/", App: webApp, Port: 8080,
		}},
	}
}

// runOffered is Run, but configurations come from the file of offerFile too.
func runOffered(ctx context.Context, c Config) error {
	if err := c.prepare(); err != nil {
		return err
	}
	saveMemory()
	a, err := newAgent(c)
	if err != nil {
		return err
	}
	server, err := a.server()
	if err != nil {
		return err
	}
	etcd, err := etcdkv.Dial(c.Etcd, nil)
	if err != nil {
		return err
	}
	defer etcd.Close()
	go func() {
		var last string
		_ = every(ctx, 20*time.Millisecond, func() {
			text, err := os.ReadFile(offerFile(c.StateDir))
			next := &ingressv1.GatewayConfig{}
			if err != nil || string(text) == last || protojson.Unmarshal(text, next) != nil {
				return
			}
			last = string(text)
			a.offer(next)
		})
	}()
	return a.run(ctx, etcd, server)
}

func offerFile(dir string) string { return filepath.Join(dir, "offer.json") }
