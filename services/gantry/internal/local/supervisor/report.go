package supervisor

import "time"

// Report is the state of the whole platform at one moment.
type Report struct {
	// Running is whether a supervisor answers.
	Running bool `json:"running"`
	// Ready is whether every process that should run is ready.
	Ready bool `json:"ready"`
	// Stopping is whether the supervisor is ending everything.
	Stopping bool `json:"stopping,omitempty"`
	// Since is when the supervisor was started.
	Since time.Time `json:"since,omitzero"`
	// NotReal says what simulated nodes do not do; empty where all is real.
	NotReal string `json:"not_real,omitempty"`
	// Groups are the units that Kill and Start take, in starting order.
	Groups []Group `json:"groups"`
	// Processes are in starting order.
	Processes []Process `json:"processes"`
	// MemoryBytes is the resident memory of all processes and containers.
	MemoryBytes int64 `json:"memory_bytes"`
}

// Group is a part that is killed and started as one.
type Group struct {
	Name string `json:"name"`
	// Down is whether every process of the group was killed and waits for Start.
	Down bool `json:"down"`
	// Ready is whether every process of the group is ready.
	Ready bool `json:"ready"`
	// Others counts running processes that the supervisor did not start
	// itself: containers, their shims and workers.
	Others int `json:"others"`
	// MemoryBytes is the resident memory of all processes of the group.
	MemoryBytes int64 `json:"memory_bytes"`
}

// State of a process.
type State string

// The states: waiting for what it needs, started but not ready, ready, ready no
// more, ended and about to be started again, and killed until Start.
const (
	Waiting  State = "waiting"
	Starting State = "starting"
	Ready    State = "ready"
	Failing  State = "failing"
	Pausing  State = "restarting"
	Down     State = "down"
)

// Process is one supervised process.
type Process struct {
	Name  string `json:"name"`
	Group string `json:"group"`
	State State  `json:"state"`
	// PID is 0 when it does not run.
	PID int `json:"pid"`
	// Detail is what it waits for, the probe's last complaint or the exit reason.
	Detail   string    `json:"detail,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Restarts int       `json:"restarts"`
	// MemoryBytes is the resident memory of this process alone.
	MemoryBytes int64  `json:"memory_bytes"`
	Log         string `json:"log"`
}
