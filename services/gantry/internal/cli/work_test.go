package cli

import (
	"strings"
	"testing"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
)

// step is one run of the command line and what it must say.
type step struct {
	args     string
	code     int
	out, err string
}

func walk(t *testing.T, config string, steps []step) {
	t.Helper()
	for _, tt := range steps {
		got := gantry(t, config, "", strings.Fields(tt.args)...)
		if got.code != tt.code || !strings.Contains(got.out, tt.out) || !strings.Contains(got.err, tt.err) {
			t.Errorf("%s: got %d\nout: %s\nerr: %s", tt.args, got.code, got.out, got.err)
		}
		if got.code != 0 && !strings.Contains(got.err, "\nnext: ") {
			t.Errorf("%s: the error does not end with what to try next: %s", tt.args, got.err)
		}
	}
}

func TestRebalance(t *testing.T) {
	p, config := startPlatform(t)
	gantry(t, config, app, "apply", "-f", "-", "--wait")
	walk(t, config, []step{
		{"app rebalance web --dry-run", 0, "site-a    4          2           it has the most room\n", "app/web would be divided so (dry run):\n"},
		{"app rebalance app/web --dry-run -o json", 0, `"reason": "it has the most room"`, ""},
		{"app rebalance web --wait", 0, "app/web is divided anew\n", "(site-a 4/4, site-b 0/0)"},
		{"app rebalance none", 3, "", "there is no app projects/hello/apps/none"},
		{"app rebalance", 2, "", "accepts 1 arg"},
		{"app", 0, "rebalance", ""},
	})
	if parts := p.apps["projects/hello/apps/web"].GetStatus().GetAssignments(); parts[0].GetReplicas() != 4 {
		t.Errorf("divided as %v", parts)
	}
}

func TestMigrate(t *testing.T) {
	p, config := startPlatform(t)
	walk(t, config, []step{
		{"cluster migrate site-b --dry-run --step 10 --every 3s --concurrency 7", 0, "by 10 every 3 s, 7 together", "nothing was changed (dry run)\n"},
		{"cluster migrate site-b --dry-run", 0, "move 2 of app/web: site-b → site-a\n", ""},
		{"cluster migrate site-b --dry-run -o json", 0, `"kind": "KIND_MIGRATE_APPS"`, ""},
		{"cluster migrate site-b --dry-run --approve", 2, "", "[approve dry-run]"},
		{"cluster migrate site-b --every 10ms", 2, "", "whole seconds"},
	})
	if len(p.ops) != 0 {
		t.Fatalf("a dry run left %v", p.ops)
	}
	walk(t, config, []step{
		{"cluster migrate site-b", 0, "operation/m   MigrateApps of cluster/site-b: AwaitingApproval", "gantry operation approve m\n"},
		{"cluster migrate site-b --approve", 0, "operation/m Succeeded\n", "[done   ] start 2 of web in site-a\n"},
		{"operation reverse m", 0, "operation/r Succeeded\n", "[done   ] bring it back\n"},
		{"operation reverse none", 5, "", "has not come to its end"},
	})
}

func TestSurvival(t *testing.T) {
	_, config := startPlatform(t)
	golden(t, "survival", gantry(t, config, "", "cluster", "survival").out)
	walk(t, config, []step{
		{"cluster survival -o json", 0, `"missingMilliCpu": "1500"`, ""},
		{"cluster survival -o yaml", 0, "unplaced: 2", ""},
		{"cluster health site-b -o json", 0, `"vantage": "ingress-agent lb-1"`, ""},
		{"cluster health site-b -o yaml", 0, "vantage: cluster-mgr", ""},
	})
}

func TestSetCluster(t *testing.T) {
	p, config := startPlatform(t)
	walk(t, config, []step{
		{"cluster set site-b", 2, "", "say what to set"},
		{"cluster set site-b --auto-failover --after 100ms", 2, "", "whole seconds"},
		{"cluster set site-b --auto-failover --after 90s --max-unplaced 10 --dry-run", 0, "cluster/site-b can be changed so (dry run)\n", ""},
	})
	if p.clusters["clusters/site-b"].GetFailover() != nil {
		t.Error("a dry run changed the policy")
	}
	walk(t, config, []step{
		{"cluster set site-b --auto-failover --after 90s --max-unplaced 10", 0, "cluster/site-b changed\n", ""},
		{"cluster set site-b --weight 3 -o json", 0, `"weight": 3`, ""},
		{"cluster set site-b --ipaas 10.9.9.9:7100", 5, "", "wraps another cluster"},
		{"cluster set none --weight 3", 3, "", "there is no cluster"},
	})
	b := p.clusters["clusters/site-b"]
	if f := b.GetFailover(); !f.GetAutomatic() || f.GetAfterSeconds() != 90 || f.GetMaxUnplacedPercent() != 10 || b.GetWeight() != 3 {
		t.Errorf("set to %v", b)
	}
}

func TestPauseAutoscaling(t *testing.T) {
	p, config := startPlatform(t)
	gantry(t, config, app, "apply", "-f", "-")
	walk(t, config, []step{
		{"autoscale pause web", 5, "", "has no autoscale policy"},
		{"autoscale stop web", 2, "", "there is no command"},
	})
	web := p.apps["projects/hello/apps/web"]
	web.Spec.Autoscale, web.Status.Autoscale = policy()
	golden(t, "apps-autoscaled", gantry(t, config, "", "get", "apps", "-o", "wide").out)
	paused := func() bool { return p.apps["projects/hello/apps/web"].GetSpec().GetAutoscale().GetPaused() }
	walk(t, config, []step{{"autoscale pause web", 0, "app/web autoscaling paused at 4 replicas\n", ""}})
	if !paused() {
		t.Error("it goes on")
	}
	walk(t, config, []step{{"autoscale resume app/web -o yaml", 0, "kind: App\n", ""}})
	if paused() {
		t.Error("it is held")
	}
}

func TestApplyChangesACluster(t *testing.T) {
	p, config := startPlatform(t)
	text := "kind: Cluster\nname: site-a\nlocation: here\nipaasAddress: 10.0.0.1:7100\nregistry: 10.0.0.1:5000\nfailover: {automatic: true}\n"
	if got := gantry(t, config, text, "apply", "-f", "-", "--dry-run"); got.out != "cluster/site-a configured (dry run)\n" {
		t.Errorf("%+v", got)
	}
	for _, want := range []string{"configured", "unchanged"} {
		if got := gantry(t, config, text, "apply", "-f", "-"); got.out != "cluster/site-a "+want+"\n" {
			t.Errorf("%+v", got)
		}
	}
	if !p.clusters["clusters/site-a"].GetFailover().GetAutomatic() {
		t.Error("the policy is not there")
	}
}

// Every command that does something has an example in its help.
func TestHelpShowsExamples(t *testing.T) {
	_, config := startPlatform(t)
	for _, command := range []string{
		"app rebalance", "autoscale pause", "autoscale resume", "cluster migrate", "cluster survival", "cluster set",
		"cluster health", "cluster failback", "operation reverse",
	} {
		got := gantry(t, config, "", append(strings.Fields(command), "--help")...)
		if got.code != 0 || !strings.Contains(got.out, "Examples:\n  gantry "+command) {
			t.Errorf("%s: %+v", command, got)
		}
	}
}

func TestCompletionOfNames(t *testing.T) {
	p, config := startPlatform(t)
	gantry(t, config, app, "apply", "-f", "-")
	p.ops["operations/m"] = &gantryv1.OperationMetadata{}
	for args, want := range map[string]string{
		"app rebalance ": "web\n", "autoscale pause ": "web\n", "cluster migrate ": "site-a\nsite-b\n", "cluster set ": "site-a\nsite-b\n",
	} {
		fields := append([]string{"__complete"}, strings.Fields(args)...)
		if got := gantry(t, config, "", append(fields, "")...); !strings.HasPrefix(got.out, want) {
			t.Errorf("%q: got %q", args, got.out)
		}
	}
}
