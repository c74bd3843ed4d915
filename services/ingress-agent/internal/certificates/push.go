package certificates

import (
	"context"
	"maps"
	"slices"

	"gantry.dev/services/ingress-agent/internal/balancer"
)

// maxChunk bounds the certificates of one push: with the longest chains it
// still fits into what Nginx takes.
const maxChunk = 50

// Push makes Nginx hold what the store holds; it sends what differs.
func (s *Store) Push(ctx context.Context) error {
	s.pushing.Lock()
	defer s.pushing.Unlock()
	want := s.snapshot()
	status, err := s.config.Client.Status(ctx)
	if err != nil || status.Certificates == digest(want) {
		return err
	}
	have, err := s.config.Client.Certificates(ctx)
	if err != nil {
		return err
	}
	for _, c := range changes(have, want) {
		if err := s.config.Client.PushCertificates(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// changes are the parts that make have, versions by host, into want. Only the
// last one says that all is there.
func changes(have map[string]string, want map[string]Pair) []balancer.CertificateChange {
	var hosts, gone []string
	for _, host := range slices.Sorted(maps.Keys(want)) {
		if have[host] != want[host].Version {
			hosts = append(hosts, host)
		}
	}
	for _, host := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[host]; !ok {
			gone = append(gone, host)
		}
	}
	var out []balancer.CertificateChange
	for part := range slices.Chunk(hosts, maxChunk) {
		set := map[string]Pair{}
		for _, host := range part {
			set[host] = want[host]
		}
		out = append(out, balancer.CertificateChange{Set: set})
	}
	all := digest(want)
	return append(out, balancer.CertificateChange{Delete: gone, Digest: &all})
}

// digest names a set of certificates; empty for none, as Nginx says it.
func digest(pairs map[string]Pair) string {
	if len(pairs) == 0 {
		return ""
	}
	var parts [][]byte
	for _, host := range slices.Sorted(maps.Keys(pairs)) {
		parts = append(parts, []byte(host), []byte(pairs[host].Version))
	}
	return hash(parts...)
}
