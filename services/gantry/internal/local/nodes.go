package local

import (
	"os"
	"path/filepath"
	"strings"

	"gantry.dev/pkg/fault"
)

// nodesFile, in Dir, holds NodesReal or NodesFake: of which kind the nodes are
// whose data lies there. It goes with the data.
const nodesFile = "nodes"

// noteNodes is called before anything is made that lastNodes decides about.
func (o Options) noteNodes() error {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return fault.Internal("NODES_FILE", "make the platform's folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, nodesFile), []byte(o.Nodes+"\n"), 0o644); err != nil {
		return fault.Internal("NODES_FILE", "note the kind of nodes: %w", err)
	}
	return nil
}

// lastNodes is the kind of nodes that Dir was last used for, "" if none. Data
// without a note is from before there were simulated nodes.
func (o Options) lastNodes() string {
	note, err := os.ReadFile(filepath.Join(o.Dir, nodesFile))
	if last := strings.TrimSpace(string(note)); err == nil && (last == NodesReal || last == NodesFake) {
		return last
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "data")); err == nil {
		return NodesReal
	}
	return ""
}

// refuseOtherNodes fails where data of the other kind lie: clusters would have
// nodes that never come, and apps addresses that nobody has.
func (o Options) refuseOtherNodes() error {
	last := o.lastNodes()
	if last == "" || last == o.Nodes {
		return nil
	}
	return fault.Precondition("OTHER_NODES",
		"%s holds the data of --nodes=%s; choose another --dir, or remove it: gantry local down --purge --dir %s", o.Dir, last, o.Dir)
}
