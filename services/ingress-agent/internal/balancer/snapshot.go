package balancer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"gantry.dev/services/ingress-agent/internal/disk"
)

// SnapshotFile is where Nginx finds the table when it starts without the
// agent, below its prefix directory.
const SnapshotFile = "endpoints.json"

// snapshot is a change for Lua, and the endpoints that it was made of for the
// agent's own start.
type snapshot struct {
	change
	// Addresses by cluster and app.
	Endpoints map[string]map[string][]string `json:"endpoints"`
}

// SaveSnapshot writes the table and the endpoints behind it.
func SaveSnapshot(stateDir string, w Wanted, endpoints map[string]map[string][]string) error {
	table, err := w.Table.encode(encoded{})
	if err != nil {
		return err
	}
	// Generation 0: the agent's next push never builds on it by chance.
	s := snapshot{change: change{Full: true, Set: table.texts, Config: w.Config}, Endpoints: endpoints}
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode the snapshot: %w", err)
	}
	return disk.Replace(filepath.Join(stateDir, SnapshotFile), text)
}

// LoadEndpoints reads the endpoints of the last snapshot; none when there is
// no snapshot.
func LoadEndpoints(stateDir string) (map[string]map[string][]string, error) {
	text, err := os.ReadFile(filepath.Join(stateDir, SnapshotFile))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the snapshot: %w", err)
	}
	var s snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("decode the snapshot %s: %w", SnapshotFile, err)
	}
	return s.Endpoints, nil
}
