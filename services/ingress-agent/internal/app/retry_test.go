package app

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// A GET whose pod drops it is tried on the next; a POST that was sent is not,
// because it may have had its effect.
func TestOnlyIdempotentRequestsAreRepeated(t *testing.T) {
	a := addresses(30, 2)
	n, _, _ := twoSites(t, a, nil)
	pods := startPods(t, n.podPort, a[1])
	var dropped atomic.Int64
	startHandler(t, n.podPort, a[0], func(http.ResponseWriter, *http.Request) {
		dropped.Add(1)
		panic(http.ErrAbortHandler) // closes the connection without an answer
	})
	n.answers()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for range 6 {
		if _, err := do(client, n.url(), true); err != nil {
			t.Errorf("a GET was lost: %v", err)
		}
	}
	drops, served := dropped.Load(), pods[a[1]].served.Load()
	time.Sleep(6 * time.Second) // the pod that drops is tried again after 5 s
	lost := int64(0)
	for range 6 {
		if _, err := do(client, n.url(), false); err != nil {
			lost++
		}
	}
	drops, served = dropped.Load()-drops, pods[a[1]].served.Load()-served
	if drops == 0 || lost != drops || served != 6-lost {
		t.Errorf("of 6 POSTs %d were dropped, %d served, %d lost at the client", drops, served, lost)
	}
}
