package helm

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// workload is what runs a service.
type workload struct {
	service string
	pod     object
	labels  object
}

func workloads(objects []object) []workload {
	var all []workload
	for _, o := range objects {
		template, ok := at(o, "spec", "template").(object)
		if !ok {
			continue
		}
		labels, _ := at(template, "metadata", "labels").(object)
		pod, _ := at(template, "spec").(object)
		all = append(all, workload{text(labels, "app.kubernetes.io/name"), pod, labels})
	}
	return all
}

func (w workload) args() []string {
	var all []string
	for _, c := range list(w.pod, "containers") {
		args, _ := c["args"].([]any)
		for _, a := range args {
			s, _ := a.(string)
			all = append(all, s)
		}
	}
	return all
}

// rule E6
func TestPodsAreRestricted(t *testing.T) {
	all := workloads(rendered(t))
	if len(all) != 3 {
		t.Fatalf("there are %d workloads", len(all))
	}
	for _, w := range all {
		if at(w.pod, "securityContext", "runAsNonRoot") != true {
			t.Errorf("%s may run as root", w.service)
		}
		if text(w.pod, "securityContext", "seccompProfile", "type") != "RuntimeDefault" {
			t.Errorf("%s has no seccomp profile", w.service)
		}
		for _, forbidden := range []string{"hostNetwork", "hostPID", "hostIPC"} {
			if at(w.pod, forbidden) != nil {
				t.Errorf("%s asks for %s", w.service, forbidden)
			}
		}
		for _, v := range list(w.pod, "volumes") {
			if v["hostPath"] != nil {
				t.Errorf("%s mounts a folder of the node", w.service)
			}
		}
		for _, c := range list(w.pod, "containers") {
			checkContainer(t, w.service, c)
		}
	}
}

func checkContainer(t *testing.T, service string, c object) {
	t.Helper()
	if !regexp.MustCompile(`@sha256:[0-9a-f]{64}$`).MatchString(text(c, "image")) {
		t.Errorf("%s: the image %s is not named by digest", service, text(c, "image"))
	}
	security, _ := c["securityContext"].(object)
	if security["readOnlyRootFilesystem"] != true || security["allowPrivilegeEscalation"] != false {
		t.Errorf("%s: %v", service, security)
	}
	if dropped, _ := at(c, "securityContext", "capabilities", "drop").([]any); !slices.Contains(dropped, any("ALL")) {
		t.Errorf("%s keeps capabilities", service)
	}
	if at(c, "securityContext", "capabilities", "add") != nil {
		t.Errorf("%s adds capabilities", service)
	}
	if text(c, "resources", "limits", "memory") == "" {
		t.Errorf("%s has no limit of memory", service)
	}
}

// rule E6
func TestNoSecretIsMade(t *testing.T) {
	for _, o := range rendered(t) {
		if text(o, "kind") == "Secret" {
			t.Errorf("the chart makes the secret %s", text(o, "metadata", "name"))
		}
	}
}

// rule E6
func TestEveryPodHasANetworkPolicy(t *testing.T) {
	objects := rendered(t)
	for _, w := range workloads(objects) {
		covered := slices.ContainsFunc(objects, func(o object) bool {
			selector, _ := at(o, "spec", "podSelector", "matchLabels").(object)
			return text(o, "kind") == "NetworkPolicy" && len(selector) > 0 && selects(selector, w.labels)
		})
		if !covered {
			t.Errorf("no NetworkPolicy selects %s", w.service)
		}
	}
}

func selects(selector, labels object) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// rule E6
func TestOnlyIpaasHasRightsAndFew(t *testing.T) {
	objects := rendered(t)
	for _, w := range workloads(objects) {
		if want := w.service == "ipaas"; at(w.pod, "automountServiceAccountToken") != want {
			t.Errorf("%s: automountServiceAccountToken is %v", w.service, at(w.pod, "automountServiceAccountToken"))
		}
	}
	for _, o := range objects {
		if strings.HasSuffix(text(o, "kind"), "RoleBinding") && text(o, "roleRef", "name") == "cluster-admin" {
			t.Error("cluster-admin is bound")
		}
		for _, r := range list(o, "rules") {
			checkRule(t, r)
		}
	}
}

// What ipaas may do where it is installed is what it may do on the local
// platform, where everything that it does is tried.
func TestIpaasHasTheRightsThatItIsTriedWith(t *testing.T) {
	roles, err := os.ReadFile("../../services/gantry/internal/local/kube/roles.yaml")
	if err != nil {
		t.Fatal(err)
	}
	local, err := parse(string(roles))
	if err != nil {
		t.Fatal(err)
	}
	want, have := rights(local, "gantry:ipaas"), rights(rendered(t), "gantry-system:gantry-ipaas")
	if len(want) == 0 {
		t.Fatal("ipaas has no rights on the local platform")
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("rights of ipaas (-local +chart):\n%s", diff)
	}
}

// rights are the permissions of a ClusterRole, one line each, in order.
func rights(objects []object, role string) []string {
	var all []string
	for _, o := range objects {
		if text(o, "kind") != "ClusterRole" || text(o, "metadata", "name") != role {
			continue
		}
		for _, r := range list(o, "rules") {
			for _, verb := range words(r, "verbs") {
				for _, on := range append(words(r, "resources"), words(r, "nonResourceURLs")...) {
					all = append(all, fmt.Sprint(verb, " ", on, " ", words(r, "apiGroups"), words(r, "resourceNames")))
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

func words(o object, field string) []string {
	var all []string
	values, _ := o[field].([]any)
	for _, v := range values {
		s, _ := v.(string)
		all = append(all, s)
	}
	return all
}

func checkRule(t *testing.T, rule object) {
	t.Helper()
	forbidden := []string{
		"*", "pods/exec", "pods/attach", "pods/portforward", "nodes/proxy",
		"clusterroles", "roles", "clusterrolebindings", "rolebindings", "impersonate", "escalate", "bind",
	}
	for _, field := range []string{"apiGroups", "resources", "verbs", "nonResourceURLs"} {
		for _, s := range words(rule, field) {
			if slices.Contains(forbidden, s) {
				t.Errorf("a role has %s %q", field, s)
			}
		}
	}
	// Apps' own secrets are put there and cleaned up; nobody follows all of them.
	if slices.Contains(words(rule, "resources"), "secrets") && slices.Contains(words(rule, "verbs"), "watch") {
		t.Error("a role watches secrets")
	}
}

// A flag that the chart passes and the service does not know would keep it
// from starting.
func TestFlagsExist(t *testing.T) {
	common, err := os.ReadFile("../../pkg/serve/serve.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workloads(rendered(t)) {
		own, err := os.ReadFile("../../services/" + w.service + "/main.go")
		if err != nil {
			t.Fatal(err)
		}
		if len(w.args()) == 0 {
			t.Errorf("%s gets no flags", w.service)
		}
		for _, arg := range w.args() {
			name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
			if !strings.Contains(string(common)+string(own), `"`+name+`"`) {
				t.Errorf("%s does not know --%s", w.service, name)
			}
		}
	}
}
