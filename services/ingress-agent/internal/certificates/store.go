// Package certificates keeps the certificates of a gateway's hosts: opened with
// the gateway's key, checked, on the node's disk and in its Nginx. A host's last
// good certificate stays until there is a better one (rule I3).
package certificates

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"

	ingressv1 "gantry.dev/proto/gen/gantry/ingress/v1"
	"gantry.dev/services/ingress-agent/internal/balancer"
	"gantry.dev/services/ingress-agent/internal/disk"
)

// File is where Nginx finds the certificates when it starts without the agent,
// below its prefix directory. It holds the keys: only its owner may read it.
const File = "certificates.json"

// A Pair is a host's certificate with its key.
type Pair = balancer.Certificate

// A Problem is why a host's certificate is not served as it is wanted.
type Problem struct {
	Reason string
	// The last good one is served.
	Kept bool
}

// Config is what New needs.
type Config struct {
	StateDir string
	// File of the gateway's key; empty: there is none.
	KeyFile string
	Client  *balancer.Client
}

// Store holds the certificates; safe for concurrent use.
type Store struct {
	config Config
	// Held while Nginx is told; one at a time.
	pushing sync.Mutex

	mu sync.Mutex
	// By host.
	pairs map[string]Pair
	// Hash of the sealed form that a pair came from, by host.
	sources map[string]string
	// Digest of what is on disk.
	saved string
}

// New reads what the last agent left on disk. With an error the store is empty
// but can be used.
func New(c Config) (*Store, error) {
	s := &Store{config: c, pairs: map[string]Pair{}, sources: map[string]string{}}
	text, err := os.ReadFile(s.path())
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read the certificates: %w", err)
	}
	var known balancer.CertificateChange
	if err := json.Unmarshal(text, &known); err != nil {
		return s, fmt.Errorf("decode %s: %w", File, err)
	}
	maps.Copy(s.pairs, known.Set)
	s.saved = digest(s.pairs)
	return s, nil
}

func (s *Store) path() string { return filepath.Join(s.config.StateDir, File) }

// Take makes the certificates those of the hosts, and says for which it cannot.
// The error is that of the disk: what was taken is served all the same.
func (s *Store) Take(sealed []*ingressv1.Certificate, hosts []string) (map[string]Problem, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	given := map[string]*ingressv1.Certificate{}
	for _, c := range sealed {
		given[c.GetHost()] = c
	}
	open := opener(s.config.KeyFile)
	pairs, sources, problems := map[string]Pair{}, map[string]string{}, map[string]Problem{}
	for _, host := range hosts {
		last, kept := s.pairs[host]
		source := sourceOf(given[host])
		if kept && source != "" && source == s.sources[host] {
			pairs[host], sources[host] = last, source
			continue
		}
		pair, err := open(given[host])
		switch {
		case err == nil:
			pairs[host], sources[host] = pair, source
		case kept:
			pairs[host], problems[host] = last, Problem{Reason: err.Error() + "; the last good one is served", Kept: true}
		default:
			problems[host] = Problem{Reason: err.Error()}
		}
	}
	s.pairs, s.sources = pairs, sources
	return problems, s.save()
}

func (s *Store) save() error {
	now := digest(s.pairs)
	if now == s.saved {
		return nil
	}
	text, err := json.Marshal(balancer.CertificateChange{Set: s.pairs, Digest: &now})
	if err != nil {
		return fmt.Errorf("encode the certificates: %w", err)
	}
	if err := disk.ReplaceSecret(s.path(), text); err != nil {
		return err
	}
	s.saved = now
	return nil
}

func (s *Store) snapshot() map[string]Pair {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.pairs)
}
