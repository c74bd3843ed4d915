package render

import "slices"

// Equal tells whether two models say the same.
func Equal(a, b Model) bool {
	return a.Gateway == b.Gateway && EqualVRRP(a.VRRP, b.VRRP) &&
		slices.EqualFunc(a.Hosts, b.Hosts, func(x, y Host) bool {
			return x.Name == y.Name && slices.Equal(x.Locations, y.Locations)
		})
}

// EqualVRRP tells whether two VRRP parts say the same.
func EqualVRRP(a, b VRRP) bool {
	return a.Node == b.Node && a.RouterID == b.RouterID && a.Priority == b.Priority &&
		a.Source == b.Source && a.VIP == b.VIP && slices.Equal(a.Peers, b.Peers)
}
