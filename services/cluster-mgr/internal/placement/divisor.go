package placement

import "math/bits"

// cheaper tells whether cluster i, having n seats, gets its next seat before cluster j, having m: the
// seat goes to the larger of votes(i)/price(n) and votes(j)/price(m), compared crosswise in whole numbers
// so that no rounding of a float decides. On equality, dividing anew favours what is there; then the
// name that sorts first is first.
func (d *division) cheaper(i, n, j, m int) bool {
	switch compareProducts(d.votes(i), price(m), d.votes(j), price(n)) {
	case 1:
		return true
	case -1:
		return false
	}
	if d.in.Rebalance {
		mine, theirs := n < d.seat[i].Current, m < d.seat[j].Current
		if mine != theirs {
			return mine
		}
	}
	return i < j
}

func (d *division) votes(i int) uint64 {
	return uint64(d.seat[i].fits) * uint64(d.seat[i].Weight)
}

// price of the next seat of a cluster that has n. It is n+1, d'Hondt's divisor, which keeps the highest
// load as low as it can be; but the first seat costs half, because an app in one more cluster survives
// more, which is worth some load. Doubled, to stay whole.
func price(n int) uint64 {
	if n <= 0 {
		return 1
	}
	return 2*uint64(n) + 2
}

// compareProducts is -1, 0 or 1 as a*b is less than, equal to or more than c*e, without overflow.
func compareProducts(a, b, c, e uint64) int {
	h1, l1 := bits.Mul64(a, b)
	h2, l2 := bits.Mul64(c, e)
	switch {
	case h1 > h2 || h1 == h2 && l1 > l2:
		return 1
	case h1 < h2 || l1 < l2:
		return -1
	}
	return 0
}
