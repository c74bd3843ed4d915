package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
)

// A grpcPod is a server on a loopback address of its own that says who it is.
type grpcPod struct {
	grpc_testing.UnimplementedTestServiceServer

	server *grpc.Server
	done   chan struct{}
	ip     string
	// Called with the client's name of a call; nil: nothing.
	called func(id string)
}

func startGRPC(t *testing.T, port int, ip string, called func(id string)) *grpcPod {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	p := &grpcPod{server: grpc.NewServer(), done: make(chan struct{}), ip: ip, called: called}
	grpc_testing.RegisterTestServiceServer(p.server, p)
	go func() { defer close(p.done); _ = p.server.Serve(l) }()
	t.Cleanup(p.kill)
	return p
}

func (p *grpcPod) kill() { p.server.Stop(); <-p.done }

func (p *grpcPod) UnaryCall(ctx context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	if p.called != nil {
		md, _ := metadata.FromIncomingContext(ctx)
		p.called(fmt.Sprint(md.Get("call")))
	}
	return &grpc_testing.SimpleResponse{Payload: r.GetPayload(), Hostname: p.ip}, nil
}

func (p *grpcPod) FullDuplexCall(s grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error {
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: r.GetPayload()})
		}
		if err != nil {
			return err
		}
	}
}

// rpcNode serves gRPC pods at rpc.example.
func rpcNode(t *testing.T, pods []string) (*secureNode, *fakeIpaas) {
	t.Helper()
	s, siteA := startSecure(t, pods)
	c := s.certificate("rpc.example")
	s.publish(func(g *ingressv1.GatewayConfig) {
		r := s.secureRoute("rpc", &gantryv1.Tls{})
		r.Rules.Protocol = gantryv1.BackendProtocol_BACKEND_PROTOCOL_GRPC
		g.Routes, g.Certificates = append(g.Routes, r), append(g.Certificates, c)
	})
	s.serving(2)
	s.shows("rpc.example", c)
	return s, siteA
}

func (s *secureNode) rpc() grpc_testing.TestServiceClient {
	s.t.Helper()
	creds := credentials.NewTLS(&tls.Config{RootCAs: s.roots, ServerName: "rpc.example"})
	conn, err := grpc.NewClient("passthrough:///127.0.0.1:"+strconv.Itoa(s.config.HTTPSPort), grpc.WithTransportCredentials(creds), grpc.WithDisableRetry())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return grpc_testing.NewTestServiceClient(conn)
}

// echoStream sends a payload and waits for it again and again, until ctx ends.
func echoStream(ctx context.Context, client grpc_testing.TestServiceClient, rounds *atomic.Int64) error {
	stream, err := client.FullDuplexCall(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	for n := 0; ctx.Err() == nil; n++ {
		want := strconv.Itoa(n)
		if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{Payload: &grpc_testing.Payload{Body: []byte(want)}}); err != nil {
			return err
		}
		r, err := stream.Recv()
		if err != nil || string(r.GetPayload().GetBody()) != want {
			return fmt.Errorf("round %s: %v, %w", want, r, err)
		}
		rounds.Add(1)
		pause(ctx, 5*time.Millisecond)
	}
	return stream.CloseSend()
}

func unaryCalls(ctx context.Context, client grpc_testing.TestServiceClient, calls *atomic.Int64) error {
	for ctx.Err() == nil {
		_, err := client.UnaryCall(context.WithoutCancel(ctx), &grpc_testing.SimpleRequest{Payload: &grpc_testing.Payload{Body: make([]byte, 100)}})
		if err != nil {
			return err
		}
		calls.Add(1)
	}
	return nil
}

// rule I5: gRPC calls and streams over TLS lose nothing while pods come, go and
// end as pods end.
func TestGRPCLosesNothing(t *testing.T) {
	pods := addresses(55, 6)
	s, siteA := rpcNode(t, pods[:3])
	servers := map[string]*grpcPod{}
	for _, ip := range pods {
		servers[ip] = startGRPC(t, s.podPort, ip, nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var calls, rounds atomic.Int64
	var wg sync.WaitGroup
	failures := make(chan error, 100)
	watch := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				failures <- err
			}
		})
	}
	for range 20 {
		client := s.rpc()
		watch(func() error { return echoStream(ctx, client, &rounds) })
	}
	for range 8 {
		client := s.rpc()
		watch(func() error { return unaryCalls(ctx, client, &calls) })
	}
	eventually(t, 20*time.Second, func() bool { return rounds.Load() > 40 && calls.Load() > 40 }, s.log)
	epoch := s.epoch()
	for i := range 40 {
		last, at := s.tableGeneration(), calls.Load()
		from := (i + 1) % 4
		siteA.set(pods[from : from+3]...)
		eventually(t, 10*time.Second, func() bool { return s.tableGeneration() > last && calls.Load() > at+20 || len(failures) > 0 }, s.log)
	}
	at := rounds.Load()
	eventually(t, 20*time.Second, func() bool { return rounds.Load() > at+40 || len(failures) > 0 }, s.log)
	cancel()
	wg.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	if now := s.epoch(); now != epoch {
		t.Errorf("epoch %d became %d: something reloaded", epoch, now)
	}
	t.Logf("%d calls, %d rounds in 20 streams over 40 changes", calls.Load(), rounds.Load())
}

// A call is sent again only where no pod can have seen it.
func TestGRPCIsNotRepeated(t *testing.T) {
	pods := addresses(56, 3)
	s, _ := rpcNode(t, pods) // nobody listens on the third
	var mu sync.Mutex
	seen := map[string][]string{}
	note := func(ip string) func(string) {
		return func(id string) {
			mu.Lock()
			defer mu.Unlock()
			seen[id] = append(seen[id], ip)
		}
	}
	startGRPC(t, s.podPort, pods[0], note(pods[0]))
	var dying *grpcPod
	var dies sync.Once
	dying = startGRPC(t, s.podPort, pods[1], func(id string) {
		note(pods[1])(id)
		dies.Do(func() { go dying.server.Stop() })
		<-dying.done // the call is never answered
	})
	eventually(t, 10*time.Second, func() bool { return s.agent.Status(t.Context()).GetClusters()[0].GetPodsAnswering() == 2 }, s.log)
	client := s.rpc()
	failed := 0
	for i := range 60 {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "call", strconv.Itoa(i))
		if _, err := client.UnaryCall(ctx, &grpc_testing.SimpleRequest{}); err != nil {
			failed++
			t.Logf("call %d: %v", i, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for id, by := range seen {
		if len(by) > 1 {
			t.Errorf("call %s was sent to %v", id, by)
		}
	}
	if failed != 1 || len(seen) != 60 {
		t.Errorf("%d failed, %d seen of 60: only the one that the dying pod had may fail", failed, len(seen))
	}
}
