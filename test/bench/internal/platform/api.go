package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"gantry.dev/test/bench/internal/kube"
)

// API is the public REST API.
type API struct {
	base, token string
	client      *http.Client
}

// ErrConflict says that something exists already.
var ErrConflict = errors.New("conflict")

// object is a JSON object.
type object map[string]any

func (a *API) get(ctx context.Context, path string, into any) error {
	return a.call(ctx, http.MethodGet, path, nil, into)
}

func (a *API) post(ctx context.Context, path string, body object) error {
	return a.call(ctx, http.MethodPost, path, body, nil)
}

func (a *API) call(ctx context.Context, method, path string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusConflict {
		return fmt.Errorf("%w: %s", ErrConflict, answer)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// Register registers the clusters and the load balancer node; what it has done
// before an error, it passes over when it is called again.
func (p *Platform) Register(ctx context.Context) error {
	for i, k := range p.Clusters {
		err := p.API.post(ctx, "/v1/clusters", object{
			"name": "clusters/" + k.Name, "location": "this machine", "ipaasAddress": p.at(ipaasPort + 2*i),
			"prometheusUrl": p.PrometheusURL, "registry": p.at(registryPort),
		})
		if err != nil && !errors.Is(err, ErrConflict) {
			return err
		}
	}
	err := p.API.post(ctx, "/v1/gateways", object{
		"name": "gateways/" + gatewayID, "vip": "127.0.0.100", "virtualRouterId": 51,
		"nodes": []object{{"name": nodeID, "address": "127.0.0.1", "agentAddress": p.at(agentPort), "priority": 100}},
	})
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// CreateProject makes a project; its namespace is "gantry-<name>".
func (a *API) CreateProject(ctx context.Context, name string) error {
	return a.post(ctx, "/v1/projects", object{"name": "projects/" + name})
}

// App is what CreateApp makes; all pods request one CPU.
type App struct {
	Key      kube.Key
	Replicas int
	// Autoscaled between 1 and this number at TargetPercent of the request,
	// rounded up as the HPA rounds; 0: not autoscaled.
	MaxReplicas, TargetPercent int
}

// CreateApp makes an app.
func (a *API) CreateApp(ctx context.Context, app App) error {
	spec := object{"image": Image, "replicas": app.Replicas, "resources": object{"cpu": "1", "memory": "64Mi"}}
	if app.MaxReplicas > 0 {
		spec["autoscale"] = object{
			"minReplicas": 1, "maxReplicas": app.MaxReplicas, "rounding": "ROUNDING_UP",
			"metrics": []object{{"resource": "RESOURCE_CPU", "targetPercent": app.TargetPercent}},
		}
	}
	project := "projects/" + Project(app.Key)
	return a.post(ctx, "/v1/"+project+"/apps", object{"name": project + "/apps/" + app.Key.Name(), "spec": spec})
}

// DeleteApp deletes an app.
func (a *API) DeleteApp(ctx context.Context, app kube.Key) error {
	return a.call(ctx, http.MethodDelete, "/v1/projects/"+Project(app)+"/apps/"+app.Name(), nil, nil)
}

// Project of an app in a cluster.
func Project(app kube.Key) string { return app.Namespace()[len("gantry-"):] }

// Observed tells whether all clusters are healthy, in words if not.
func (a *API) Observed(ctx context.Context) string {
	var answer struct {
		Clusters []struct {
			Name   string
			Health struct{ State, Reason string }
		}
	}
	if err := a.get(ctx, "/v1/clusters", &answer); err != nil {
		return err.Error()
	}
	for _, c := range answer.Clusters {
		if c.Health.State != "STATE_HEALTHY" {
			return fmt.Sprintf("%s is %s: %s", c.Name, c.Health.State, c.Health.Reason)
		}
	}
	return ""
}

// ErrNoPlan says that no operation waits for approval.
var ErrNoPlan = errors.New("no operation waits for approval")

// Plan is the name of the operation that waits for approval; ErrNoPlan when
// there is none.
func (a *API) Plan(ctx context.Context) (string, error) {
	var answer struct {
		Operations []struct {
			Name     string
			Metadata struct{ State string }
		}
	}
	if err := a.get(ctx, "/v1/operations", &answer); err != nil {
		return "", err
	}
	for _, o := range answer.Operations {
		if o.Metadata.State == "STATE_AWAITING_APPROVAL" {
			return o.Name, nil
		}
	}
	return "", ErrNoPlan
}

// Approve approves an operation.
func (a *API) Approve(ctx context.Context, operation string) error {
	return a.post(ctx, "/v1/"+operation+":approve", object{})
}
