// Package stream leads TCP and UDP ports of the node to apps by an Nginx of
// its own, apart from that of HTTP: a reload of it loses no connection as long
// as old workers may stay, which HTTP's must not for ever.
package stream

import (
	"cmp"
	"slices"
	"strings"
)

// A Model is everything the files of a generation say.
type Model struct {
	Gateway string
	// In name order; no two listen alike.
	Routes []Route
}

// A Route is one port and the pods behind it.
type Route struct {
	Form
	// In address order; none: connections are closed at once.
	Servers []Server
}

// A Form is what a stream route asks for, whatever pods there are.
type Form struct {
	// "projects/{project}/streamRoutes/{stream_route}".
	Name   string
	Listen Listener
	// "{project}/{app}:{port}", see render.Upstream.
	Upstream string
	// Pods get a PROXY header, version 1; TCP only.
	ProxyProtocol bool
	// Clients that may connect, as masked prefixes; empty: all.
	Allow []string
	// A connection without traffic for so many seconds is ended.
	Idle int
}

// A Listener is a port on all addresses of the node, the VIPs included.
type Listener struct {
	UDP  bool
	Port int
}

// A Server is a pod.
type Server struct {
	// "10.1.2.3:5432".
	Address string
	// At least 1; relative to the route's other servers.
	Weight int
	// Used when no other takes the connection.
	Last bool
}

// Rejected is a route whose wanted form cannot be served.
type Rejected struct {
	Route, Reason string
}

// Equal tells whether two models say the same.
func Equal(a, b Model) bool {
	return a.Gateway == b.Gateway && slices.EqualFunc(a.Routes, b.Routes, func(x, y Route) bool {
		return equalForm(x.Form, y.Form) && slices.Equal(x.Servers, y.Servers)
	})
}

func equalForm(a, b Form) bool {
	return a.Name == b.Name && a.Listen == b.Listen && a.Upstream == b.Upstream &&
		a.ProxyProtocol == b.ProxyProtocol && a.Idle == b.Idle && slices.Equal(a.Allow, b.Allow)
}

// Route finds a route by name.
func (m Model) Route(name string) (Route, bool) {
	i, ok := slices.BinarySearchFunc(m.Routes, name, func(r Route, n string) int { return strings.Compare(r.Name, n) })
	if !ok {
		return Route{}, false
	}
	return m.Routes[i], true
}

func sortForms(forms []Form) {
	slices.SortFunc(forms, func(x, y Form) int { return cmp.Compare(x.Name, y.Name) })
}
