package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	maxBurn  = time.Second
	maxSleep = 30 * time.Second
	maxBody  = 1 << 20 // bytes of a POST that are read and counted
)

// identity says who answers.
type identity struct {
	Pod     string `json:"pod"`
	Cluster string `json:"cluster"`
	Release string `json:"release"`
	Version string `json:"version"`
}

// answer is the body of every answer of "/".
type answer struct {
	identity
	// Length of the request's body in bytes; only for POST.
	Length *int64 `json:"length,omitempty"`
}

// identify reads what Gantry tells a pod about itself: GANTRY_POD (else the
// host name), GANTRY_CLUSTER, GANTRY_RELEASE.
func identify(version string) identity {
	pod := os.Getenv("GANTRY_POD")
	if pod == "" {
		pod, _ = os.Hostname() // an empty name is still a good answer
	}
	return identity{
		Pod:     pod,
		Cluster: os.Getenv("GANTRY_CLUSTER"),
		Release: os.Getenv("GANTRY_RELEASE"),
		Version: version,
	}
}

func handler(who identity) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if work(w, r) {
			reply(w, answer{identity: who})
		}
	})
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		length, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "the body is larger than 1 MiB or broke off", http.StatusRequestEntityTooLarge)
			return
		}
		if work(w, r) {
			reply(w, answer{identity: who, Length: &length})
		}
	})
	return mux
}

// work does what ?burn= and ?sleep= ask for. False: the request was refused
// and answered.
func work(w http.ResponseWriter, r *http.Request) bool {
	cpu, ok := duration(w, r, "burn", maxBurn)
	if !ok {
		return false
	}
	pause, ok := duration(w, r, "sleep", maxSleep)
	if !ok {
		return false
	}
	if err := burn(cpu); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return false
	}
	select {
	case <-time.After(pause):
		return true
	case <-r.Context().Done():
		return false
	}
}

func duration(w http.ResponseWriter, r *http.Request, key string, limit time.Duration) (time.Duration, bool) {
	text := r.URL.Query().Get(key)
	if text == "" {
		return 0, true
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > limit {
		http.Error(w, key+" must be a duration from 0s to "+limit.String()+", such as 1500us", http.StatusBadRequest)
		return 0, false
	}
	return d, true
}

func reply(w http.ResponseWriter, a answer) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a) // the client is gone: nobody is left to tell
}
