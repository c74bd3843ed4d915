package failover

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func consenting() ConsentInput {
	return ConsentInput{
		NowUnix: 10_000, Policy: Policy{Automatic: true}, DownSinceUnix: 9_940, SwitchAllowed: true,
	}.about(Migrate(leaving(true, app("web", 2, 2))))
}

func (in ConsentInput) about(p Plan) ConsentInput {
	in.Moves, in.Problems, in.Steps = p.Moves, p.Problems, len(p.Steps)
	return in
}

func TestConsent(t *testing.T) {
	partly := leaving(true, app("web", 2, 4))
	partly.Clusters[0].Nodes = site("site-a", 3).Nodes
	cases := []struct {
		name   string
		change func(*ConsentInput)
		want   string // a refusal; empty: it is given
	}{
		{"all guards hold", func(*ConsentInput) {}, ""},
		{"nobody opted in", func(in *ConsentInput) { in.Policy.Automatic = false }, "no operator has opted in"},
		{"not down", func(in *ConsentInput) { in.DownSinceUnix = 0 }, "the verdict is not DOWN"},
		{"not down for long", func(in *ConsentInput) { in.DownSinceUnix++ }, "the verdict must have held for 60 s, until 02:46:41 UTC"},
		{"down in the future", func(in *ConsentInput) { in.DownSinceUnix = 20_000 }, "the verdict must have held"},
		{"down for as long as was asked", func(in *ConsentInput) { in.Policy.AfterSeconds, in.DownSinceUnix = 10, 9_990 }, ""},
		{"it answers again", func(in *ConsentInput) { in.Recovering = true }, "it has begun to answer again"},
		{"flapping", func(in *ConsentInput) { in.SwitchAllowed = false }, "flapping"},                              // rule C4
		{"frozen", func(in *ConsentInput) { in.FrozenReason = "2 of 2 clusters" }, "automation is frozen: 2 of 2"}, // rule C3
		{"another operation", func(in *ConsentInput) { in.Running = []string{"operations/7"} }, "operations/7 is running"},
		{"no plan", func(in *ConsentInput) { *in = in.about(Plan{Problems: []string{"no other cluster can take over"}}) }, "the plan cannot be carried out: no other cluster"},
		{"not all fit", func(in *ConsentInput) { *in = in.about(Migrate(partly)) }, "1 of 4 replicas have no place elsewhere, and 0 % may be without"},
		{"so many may be without a place", func(in *ConsentInput) { *in = in.about(Migrate(partly)); in.Policy.MaxUnplacedPercent = 25 }, ""},
		{"a single stays and is no obstacle", func(in *ConsentInput) { *in = in.about(Migrate(leaving(true, app("web", 2, 2), cron()))) }, ""}, // rule C5
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			in := consenting()
			tc.change(&in)
			out := Consenting(in)
			if out.Given != (tc.want == "") || !strings.Contains(strings.Join(out.Refusals, "; "), tc.want) {
				t.Errorf("given: %t, refusals %q", out.Given, out.Refusals)
			}
		})
	}
}

// The same input gives the same answer, also when it was stored, and no guard can be outvoted.
func TestConsentIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := consenting()
		in.Policy = Policy{rapid.Bool().Draw(t, "automatic"), rapid.Int64Range(0, 100).Draw(t, "after"), rapid.IntRange(0, 100).Draw(t, "unplaced")}
		in.DownSinceUnix = rapid.Int64Range(0, 11_000).Draw(t, "since")
		in.SwitchAllowed = rapid.Bool().Draw(t, "allowed")
		in.FrozenReason = rapid.SampledFrom([]string{"", "frozen"}).Draw(t, "frozen")
		clusters, apps := fleetOf(t)
		in = in.about(Migrate(MigrateInput{Cluster: "site-b", Down: true, Clusters: clusters, Apps: apps}))
		out := Consenting(in)
		var stored ConsentInput
		if err := json.Unmarshal([]byte(encode(t, in)), &stored); err != nil {
			t.Fatal(err)
		}
		if again := encode(t, Consenting(stored)); again != encode(t, out) {
			t.Fatalf("first %s\nthen %s", encode(t, out), again)
		}
		if out.Given && (!in.Policy.Automatic || !in.SwitchAllowed || in.FrozenReason != "" || in.DownSinceUnix == 0 || 100*out.Unplaced > in.Policy.MaxUnplacedPercent*out.Replicas) {
			t.Fatalf("given in spite of a guard: %+v", in)
		}
	})
}
