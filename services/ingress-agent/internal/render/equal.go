package render

import (
	"reflect"
	"slices"
)

// Equal tells whether two models say the same.
func Equal(a, b Model) bool {
	return a.Gateway == b.Gateway && EqualVRRP(a.VRRP, b.VRRP) &&
		slices.EqualFunc(a.Hosts, b.Hosts, func(x, y Host) bool {
			return x.Name == y.Name && slices.EqualFunc(x.Locations, y.Locations, equalLocation)
		})
}

func equalLocation(a, b Location) bool { return reflect.DeepEqual(a, b) }
