package e2e

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// storm is how long the store is killed again and again.
const storm = time.Minute

func Test09StoreKilledAgainAndAgain(t *testing.T) {
	platform(t)
	before := settled(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	tr := newTraffic(t)
	w := newWriter(t)
	t.Cleanup(func() { must(t, "local", "start", "etcd") })
	kills := 0
	for end := time.Now().Add(storm); time.Now().Before(end); kills++ {
		pid := pidOf(t, "etcd")
		must(t, "local", "kill", "etcd")
		must(t, "local", "start", "etcd")
		time.Sleep(4*time.Second + time.Duration(random.IntN(2000))*time.Millisecond) // every five seconds
		if now := pidOf(t, "etcd"); now == pid {
			t.Fatalf("etcd was not killed: process %d", pid)
		}
	}
	ready(t, "etcd", "cluster-mgr-1", "cluster-mgr-2", "portal")
	accepted := w.finish()
	t.Logf("%d kills; %d changes were accepted, %d refused", kills, len(accepted), w.refused)
	if kills < 8 || len(accepted) == 0 {
		t.Error("too few kills or changes to say anything")
	}
	kept := must(t, "get", "projects", "-o", "name")
	for _, name := range accepted {
		if !strings.Contains(kept, name+"\n") {
			t.Errorf("the accepted project %s is lost", name)
		}
	}
	must(t, append([]string{"delete", "project"}, accepted...)...)
	if after := settled(t); after.Status.Release != before.Status.Release {
		t.Errorf("release %d, then %d, without a change", before.Status.Release, after.Status.Release)
	}
	tr.finish(firstPhase)
}

// writer makes projects, one after the other, and notes the accepted ones, and
// how often what was said against the others.
type writer struct {
	refused  int
	why      map[string]int
	accepted []string
	stop     chan struct{}
	done     sync.WaitGroup
}

func newWriter(t *testing.T) *writer {
	t.Helper()
	w := &writer{stop: make(chan struct{}), why: map[string]int{}}
	r := newREST(t)
	// A project that an earlier run left is none of this one's.
	run := strconv.FormatInt(time.Now().Unix(), 36)
	w.done.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-w.stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
			name := fmt.Sprintf("storm-%s-%04d", run, n)
			code, said, err := r.try("POST", "/v1/projects", fmt.Sprintf(`{"name":"projects/%s"}`, name))
			if err == nil && code == 200 {
				w.accepted = append(w.accepted, name)
				continue
			}
			w.refused++
			w.why[strings.ReplaceAll(fmt.Sprint(code, " ", string(said), err), name, "NAME")]++
		}
	})
	return w
}

func (w *writer) finish() []string {
	close(w.stop)
	w.done.Wait()
	return w.accepted
}
