// Package store keeps cluster-mgr's state in etcd: one collection per kind of
// resource, typed, with every change in one guarded transaction.
//
// Keys are "/gantry/<collection>/<resource name>"; what an ingress-agent may
// read is apart, below "/gantry-gateways/<gateway>/".
package store

import (
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Store is all of cluster-mgr's state.
type Store struct {
	client *clientv3.Client
	leases *leases

	Clusters *Collection[*gantryv1.Cluster]
	Projects *Collection[*gantryv1.Project]
	Apps     *Collection[*gantryv1.App]
	Releases *Collection[*gantryv1.Release]
	Gateways *Collection[*gantryv1.Gateway]
	Routes   *Collection[*gantryv1.Route]
	Alarms   *Collection[*gantryv1.Alarm]
	Volumes  *Collection[*gantryv1.Volume]
	Secrets  *Collection[SecretRecord]
	// SecretVersions holds what secrets contain, sealed; the names are those
	// of SecretVersionName.
	SecretVersions *Collection[SecretVersion]
	Decisions      *Decisions
	Operations     *Collection[*longrunningpb.Operation]
	Assignments    *Collection[Assignment]
	Deletions      *Collection[Deletion]
	// Shares holds how the requests of apps are divided over the clusters;
	// names are those of the apps.
	Shares *Collection[TrafficShares]
	// Identities says which Kubernetes cluster, by the UID of its kube-system
	// namespace, is registered as what, so that none is registered twice.
	Identities *Collection[IdentityClaim]
	// RouteRevisions holds the forms that routes had; the names are those of
	// RevisionName.
	RouteRevisions *Collection[*gantryv1.RouteRevision]
	StreamRoutes   *Collection[*gantryv1.StreamRoute]
	// Hosts says which project owns a host name (rule I7).
	Hosts *Collection[HostClaim]
	// Ports says which project owns a port of a gateway; the names are those
	// of PortName.
	Ports *Collection[PortClaim]
	// Requests holds the first answers to request ids for a day (rule S5).
	Requests *Collection[Answer]
	// Begun holds, in the place of an answer, requests that are under way; a
	// minute at most, should nobody come back to them.
	Begun *Collection[Answer]
	// Configs is what the agents of each gateway read; names are gateway ids.
	Configs *Collection[*ingressv1.GatewayConfig]
}

// Assignment is how many replicas of an app each cluster gets. Desired is
// written by the API (or, where the app has a policy, the autoscaler), the
// rest by the leader's reconciler.
type Assignment struct {
	App string `json:"app"`
	// Wanted replicas over all clusters.
	Desired int `json:"desired"`
	// Release that is wanted.
	Release int           `json:"release"`
	Shares  []ShareRecord `json:"shares,omitempty"`
	// Name of the decision that made the shares.
	Decision string `json:"decision,omitempty"`
	// What is missing while the wanted replicas do not fit; a sentence.
	Shortfall string `json:"shortfall,omitempty"`
	// Divide all replicas anew; the reconciler ends it when that is done.
	Rebalance bool `json:"rebalance,omitempty"`
	// Clusters that no more replicas go to for now, or that are remembered
	// for it; written by the reconciler.
	Avoid []Spot `json:"avoid,omitempty"`
}

// Spot is a cluster in which no node took replicas of an app.
type Spot struct {
	// "clusters/site-a".
	Cluster string `json:"cluster"`
	// Until when it is avoided; seconds since 1970.
	UntilUnix int64 `json:"until_unix"`
	// Why; a sentence.
	Reason string `json:"reason,omitempty"`
	// How often in a row; each time it is avoided for longer.
	Times int `json:"times,omitempty"`
}

// ShareRecord is one cluster's part of an assignment.
type ShareRecord struct {
	// "clusters/site-a".
	Cluster  string `json:"cluster"`
	Replicas int    `json:"replicas"`
	// Why so many; a sentence.
	Reason string `json:"reason,omitempty"`
}

// Replicas is a cluster's part; 0 when it has none.
func (a Assignment) Replicas(cluster string) int {
	for _, s := range a.Shares {
		if s.Cluster == cluster {
			return s.Replicas
		}
	}
	return 0
}

// Deletion is an app that has been deleted and is still to be removed from
// clusters.
type Deletion struct {
	App string `json:"app"`
	// Names of the clusters that may still run it.
	Clusters []string `json:"clusters"`
}

// IdentityClaim says as what a Kubernetes cluster is registered.
type IdentityClaim struct {
	// "clusters/site-a".
	Cluster string `json:"cluster"`
}

// Answer is the first answer to a request id; without a response the request
// is under way.
type Answer struct {
	// Hash of the request, so that an id used for two requests is noticed.
	Request []byte `json:"request"`
	// The resource that was answered with, serialized.
	Response []byte `json:"response,omitempty"`
}

// New makes the store of a client.
func New(client *clientv3.Client) *Store {
	return &Store{
		client:   client,
		leases:   newLeases(client),
		Clusters: protos(client, "clusters", "CLUSTER", func() *gantryv1.Cluster { return &gantryv1.Cluster{} }),
		Projects: protos(client, "projects", "PROJECT", func() *gantryv1.Project { return &gantryv1.Project{} }),
		Apps:     protos(client, "apps", "APP", func() *gantryv1.App { return &gantryv1.App{} }),
		Releases: protos(client, "releases", "RELEASE", func() *gantryv1.Release { return &gantryv1.Release{} }),
		Gateways: protos(client, "gateways", "GATEWAY", func() *gantryv1.Gateway { return &gantryv1.Gateway{} }),
		Routes:   protos(client, "routes", "ROUTE", func() *gantryv1.Route { return &gantryv1.Route{} }),
		Alarms:   protos(client, "alarms", "ALARM", func() *gantryv1.Alarm { return &gantryv1.Alarm{} }),
		Volumes:  protos(client, "volumes", "VOLUME", func() *gantryv1.Volume { return &gantryv1.Volume{} }),
		Secrets:  jsons[SecretRecord](client, "secrets", "SECRET"),

		SecretVersions: jsons[SecretVersion](client, "secret-versions", "SECRET_VERSION"),

		Decisions:   newDecisions(protos(client, "decisions", "DECISION", func() *gantryv1.Decision { return &gantryv1.Decision{} }).kept(decisionAge)),
		Operations:  protos(client, "operations", "OPERATION", func() *longrunningpb.Operation { return &longrunningpb.Operation{} }),
		Assignments: jsons[Assignment](client, "assignments", "ASSIGNMENT"),
		Deletions:   jsons[Deletion](client, "deletions", "DELETION"),
		Shares:      jsons[TrafficShares](client, "shares", "TRAFFIC_SHARES"),
		Identities:  jsons[IdentityClaim](client, "identities", "IDENTITY"),
		Hosts:       jsons[HostClaim](client, "hosts", "HOST"),
		Ports:       jsons[PortClaim](client, "ports", "PORT"),

		RouteRevisions: protos(client, "route-revisions", "ROUTE_REVISION", func() *gantryv1.RouteRevision { return &gantryv1.RouteRevision{} }),
		StreamRoutes:   protos(client, "stream-routes", "STREAM_ROUTE", func() *gantryv1.StreamRoute { return &gantryv1.StreamRoute{} }),

		Requests: jsons[Answer](client, "requests", "REQUEST").kept(answerAge),
		Begun:    jsons[Answer](client, "requests", "REQUEST").kept(begunAge),
		Configs:  configs(client),
	}
}
