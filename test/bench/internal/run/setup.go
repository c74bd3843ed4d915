package run

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"gantry.dev/test/bench/internal/hpa"
	"gantry.dev/test/bench/internal/kube"
	"gantry.dev/test/bench/internal/load"
	"gantry.dev/test/bench/internal/pki"
	"gantry.dev/test/bench/internal/platform"
	"gantry.dev/test/bench/internal/process"
	promapi "github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/yaml"
)

// Offsets of the ports.
const (
	prometheusPort = iota
	exporterPort
	adapterPort
	clusterPorts  = 10 // ten for each cluster
	platformPorts = 30 // twenty
)

// callers of the API at a time while apps are made.
const callers = 16

func (b *bench) at(offset int) string { return "127.0.0.1:" + strconv.Itoa(b.Port+offset) }

// start starts everything but apps.
func (b *bench) start(ctx context.Context) error {
	if err := b.startClusters(ctx, "site-a", "site-b"); err != nil {
		return err
	}
	return b.startPlatform(ctx)
}

// startOne starts what the peers need.
func (b *bench) startOne(ctx context.Context) error { return b.startClusters(ctx, "site-a") }

// startClusters also starts what gives them their metrics.
func (b *bench) startClusters(ctx context.Context, names ...string) error {
	var err error
	if b.procs, err = process.NewGroup(b.path("log")); err != nil {
		return err
	}
	if b.authority, err = pki.New(b.path("data/pki")); err != nil {
		return err
	}
	b.load = load.New(share * target)
	for i, name := range names {
		if err := b.startCluster(ctx, i, name); err != nil {
			return err
		}
	}
	if err := b.startPrometheus(ctx); err != nil {
		return err
	}
	return b.startAdapter(ctx)
}

// startCluster also follows what happens in it.
func (b *bench) startCluster(ctx context.Context, i int, name string) error {
	k, err := kube.New(kube.Config{
		Name: name, Procs: b.procs, PKI: b.authority, Parts: b.Parts, Repo: b.Repo, Dir: b.path("data"),
		Port: b.Port + clusterPorts*(i+1), Nodes: b.Size.Nodes, PodNetwork: fmt.Sprintf("10.%d.0.0/12", 64+16*i),
	})
	if err != nil {
		return err
	}
	if err := k.Start(ctx); err != nil {
		return err
	}
	if err := k.StartControllers(ctx, withoutHPA()...); err != nil {
		return err
	}
	w, err := kube.NewWatch(ctx, k)
	if err != nil {
		return err
	}
	b.clusters, b.watches = append(b.clusters, k), append(b.watches, w)
	return b.load.Follow(ctx, k)
}

// startPrometheus scrapes one target per cluster, where life has one per node.
func (b *bench) startPrometheus(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", b.at(exporterPort))
	if err != nil {
		return fmt.Errorf("listen for Prometheus: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{cluster}/metrics", b.load)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // nobody waits for its answers
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			b.say("the exporter ended: %v", err)
		}
	}()
	var jobs []any
	for _, k := range b.clusters {
		jobs = append(jobs, map[string]any{
			"job_name": k.Name, "metrics_path": "/" + k.Name + "/metrics",
			"static_configs": []any{map[string]any{"targets": []string{b.at(exporterPort)}, "labels": map[string]string{"cluster": k.Name}}},
		})
	}
	interval := b.Scrape.String()
	config, err := yaml.Marshal(map[string]any{"global": map[string]any{"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": jobs})
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.path("data/prometheus.yml"), config, 0o644); err != nil {
		return err
	}
	err = b.procs.Start(process.Spec{Name: "prometheus", Path: b.Prometheus, Args: []string{
		"--config.file=" + b.path("data/prometheus.yml"), "--storage.tsdb.path=" + b.path("data/prometheus"),
		"--web.listen-address=" + b.at(prometheusPort), "--log.level=warn",
	}})
	if err != nil {
		return err
	}
	// As Gantry asks: the bare query and the adapter shall not be slower for
	// compressed answers.
	plain := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}
	client, err := promapi.NewClient(promapi.Config{Address: "http://" + b.at(prometheusPort), RoundTripper: plain})
	if err != nil {
		return err
	}
	b.prometheus = promv1.NewAPI(client)
	return nil
}

func (b *bench) startAdapter(ctx context.Context) error {
	pair, err := b.authority.Issue("adapter", pki.Leaf{CN: "metrics-adapter", Names: []string{hpa.ServerName}})
	if err != nil {
		return err
	}
	b.adapter = hpa.NewAdapter(b.prometheus, b.rateWindow())
	if err := b.adapter.Start(ctx, b.at(adapterPort), pair); err != nil {
		return err
	}
	return hpa.Register(ctx, b.clusters[0], b.authority, int32(b.Port+adapterPort))
}

// rateWindow is over what cluster-mgr takes its rates.
func (b *bench) rateWindow() time.Duration { return 4 * b.Scrape }

func (b *bench) startPlatform(ctx context.Context) error {
	var err error
	b.platform, err = platform.New(platform.Config{
		Procs: b.procs, PKI: b.authority, Parts: b.Parts, Bin: b.Bin, Dir: b.path("data"), Port: b.Port + platformPorts,
		Clusters: b.clusters, PrometheusURL: "http://" + b.at(prometheusPort),
		AutoscaleInterval: b.Interval, SampleInterval: b.Scrape,
	})
	if err != nil {
		return err
	}
	if err := b.platform.Start(ctx); err != nil {
		return err
	}
	if err := kube.Until(ctx, time.Minute, func() string { return problem(b.platform.Register(ctx)) }); err != nil {
		return fmt.Errorf("register the clusters: %w", err)
	}
	return b.healthy(ctx)
}

func problem(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// healthy waits until cluster-mgr trusts both clusters.
func (b *bench) healthy(ctx context.Context) error {
	return kube.Until(ctx, time.Minute, func() string { return b.platform.API.Observed(ctx) })
}

// makeApps makes all projects and apps and waits until their pods are ready.
func (b *bench) makeApps(ctx context.Context) error {
	b.load.Jitter(jitter)
	for i := range b.Size.Projects {
		if err := b.platform.API.CreateProject(ctx, project(i)); err != nil {
			return err
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(callers)
	for _, app := range b.apps {
		group.Go(func() error {
			return b.makeApp(groupCtx, platform.App{Key: app, Replicas: replicas, MaxReplicas: maxReplicas, TargetPercent: targetPercent})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	b.say("all apps are accepted")
	return b.running(ctx)
}

// running waits until all pods are, and every rate has its samples.
func (b *bench) running(ctx context.Context) error {
	err := b.settled(ctx, func() string {
		if pods := b.load.Pods(); pods != replicas*len(b.apps) {
			return fmt.Sprintf("there are %d pods", pods)
		}
		return ""
	})
	if err != nil {
		return err
	}
	return sleep(ctx, 2*b.rateWindow())
}

// makeDeployments makes what Gantry would apply for all apps on one cluster.
func (b *bench) makeDeployments(ctx context.Context) error {
	b.load.Jitter(jitter)
	client := b.clusters[survivor].Client
	for i := range b.Size.Projects {
		ns := corev1ac.Namespace("gantry-" + project(i))
		if _, err := client.CoreV1().Namespaces().Apply(ctx, ns, metav1.ApplyOptions{FieldManager: "bench"}); err != nil {
			return err
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(callers)
	for _, app := range b.apps {
		group.Go(func() error {
			d := deployment(app)
			d.Spec.WithReplicas(replicas)
			// By these the load generator knows the pods.
			d.Spec.Template.WithLabels(map[string]string{load.AppLabel: app.Name(), load.ProjectLabel: platform.Project(app)})
			_, err := client.AppsV1().Deployments(app.Namespace()).Apply(groupCtx, d, metav1.ApplyOptions{FieldManager: "bench"})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return b.running(ctx)
}

// makeApp makes one app. On a busy machine a cluster may be out of sight for a
// moment, and the API refuses what it cannot place; this is not measured.
func (b *bench) makeApp(ctx context.Context, app platform.App) error {
	return kube.Until(ctx, time.Minute, func() string {
		err := b.platform.API.CreateApp(ctx, app)
		if err == nil || errors.Is(err, platform.ErrConflict) {
			return ""
		}
		time.Sleep(500 * time.Millisecond)
		return err.Error()
	})
}

// settled waits until every Deployment has its pods and check has no complaint.
func (b *bench) settled(ctx context.Context, check func() string) error {
	patience := 2*time.Minute + time.Duration(len(b.apps))*time.Second/2
	return kube.Until(ctx, patience, func() string {
		for i, w := range b.watches {
			if !b.alive(i) {
				continue
			}
			if n := w.Unsettled(); n > 0 {
				return fmt.Sprintf("%d Deployments of %s are not settled", n, b.clusters[i].Name)
			}
		}
		return check()
	})
}

// alive tells whether a cluster has not been killed.
func (b *bench) alive(i int) bool { return b.procs.Alive(b.clusters[i].Process("apiserver")) }

func nothing() string { return "" }
