package vip

import "slices"

// A Conflict is an address that more than one machine answers for.
type Conflict struct {
	VIP string
	// Hardware addresses, in order.
	Owners []string
}

// Conflicts remembers what was heard of each VIP. One hearing of two owners
// may be a take-over that is under way; two in a row are a conflict.
type Conflicts struct {
	last map[string][]string
}

// Heard takes the owners heard of each VIP in one round, and gives the
// conflicts in VIP order.
func (c *Conflicts) Heard(owners map[string][]string) []Conflict {
	var found []Conflict
	for vip, now := range owners {
		var twice []string
		for _, owner := range now {
			if slices.Contains(c.last[vip], owner) {
				twice = append(twice, owner)
			}
		}
		if len(twice) > 1 {
			found = append(found, Conflict{VIP: vip, Owners: twice})
		}
	}
	c.last = owners
	slices.SortFunc(found, func(a, b Conflict) int { return slices.Compare([]string{a.VIP}, []string{b.VIP}) })
	return found
}
