package manifest

import (
	"strings"
	"testing"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const good = `# the sample
kind: Route
name: web
gateway: main
host: hello.test
app: web
port: 8080
---
kind: App
name: web
spec:
  image: hello:v1
  replicas: 4
  resources: {cpu: 500m, memory: 64Mi}
  env:
    - name: GREETING
      value: "on"
  ports:
    - &http {name: http, port: 8080}
  readiness:
    httpPath: /ready
    port: 8080
    period_seconds: 2
  autoscale:
    minReplicas: 2
    maxReplicas: 12
    rounding: nearest
    metrics:
      - resource: CPU
        targetPercent: 50
  placement:
    clusters:
      - cluster: site-a
        max: 6
  args: [--verbose]
status:
  release: 3
---
`

func TestParse(t *testing.T) {
	docs, err := Parse("app.yaml", []byte(good), "hello")
	if err != nil {
		t.Fatal(err)
	}
	want := []proto.Message{
		&gantryv1.App{
			Name: "projects/hello/apps/web",
			Spec: &gantryv1.AppSpec{
				Image: "hello:v1", Replicas: 4,
				Resources: &gantryv1.Resources{Cpu: "500m", Memory: "64Mi"},
				Env:       []*gantryv1.EnvVar{{Name: "GREETING", Value: "on"}},
				Ports:     []*gantryv1.Port{{Name: "http", Port: 8080}},
				Readiness: &gantryv1.HealthCheck{HttpPath: "/ready", Port: 8080, PeriodSeconds: 2},
				Autoscale: &gantryv1.Autoscale{
					MinReplicas: 2, MaxReplicas: 12, Rounding: gantryv1.Autoscale_ROUNDING_NEAREST,
					Metrics: []*gantryv1.ScaleMetric{{Resource: gantryv1.ScaleMetric_RESOURCE_CPU, TargetPercent: 50}},
				},
				Placement: &gantryv1.Placement{Clusters: []*gantryv1.ClusterPlacement{{Cluster: "clusters/site-a", Max: 6}}},
				Args:      []string{"--verbose"},
			},
		},
		&gantryv1.Route{
			Name: "projects/hello/routes/web", Gateway: "gateways/main", Host: "hello.test",
			App: "projects/hello/apps/web", Port: 8080,
		},
	}
	var got []proto.Message
	for _, d := range docs {
		got = append(got, d.Resource)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if w := docs[0].Warnings; len(w) != 1 || w[0] != "app.yaml:36: status is set by the platform; ignored" {
		t.Errorf("warnings: %q", w)
	}
}

func TestParseNamesThePlace(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown field", "kind: App\nname: web\nspec:\n  replcas: 3\n",
			`f:4:3: spec.replcas: unknown field; did you mean "replicas"?`},
		{"unknown in a list", "kind: App\nname: web\nspec:\n  ports:\n    - name: http\n      prot: 80\n",
			`f:6:7: spec.ports[0].prot: unknown field; did you mean "port"?`},
		{"nothing near", "kind: App\nname: web\nspec:\n  readiness: {zzzzzzzz: 1}\n",
			`f:4:15: spec.readiness.zzzzzzzz: unknown field; known here: failureThreshold, httpPath, initialDelaySeconds, periodSeconds, port, timeoutSeconds`},
		{"text for number", "kind: App\nname: web\nspec:\n  replicas: three\n",
			`f:4:13: spec.replicas: expected a whole number, found the text "three"`},
		{"fraction", "kind: App\nname: web\nspec:\n  replicas: 1.5\n",
			`f:4:13: spec.replicas: expected a whole number, found the number 1.5`},
		{"out of range", "kind: App\nname: web\nspec:\n  replicas: 3000000000\n",
			`f:4:13: spec.replicas: 3000000000 is out of range`},
		{"number for text", "kind: App\nname: web\nspec:\n  resources: {cpu: 2}\n",
			`f:4:20: spec.resources.cpu: expected text, found the number 2; put it in quotes: "2"`},
		{"boolean for text", "kind: App\nname: web\nspec:\n  env: [{name: A, value: on}, {name: B, value: true}]\n",
			`f:4:48: spec.env[1].value: expected text, found true; put it in quotes: "true"`},
		{"mapping for list", "kind: App\nname: web\nspec:\n  ports: {port: 80}\n",
			"f:4:10: spec.ports: expected a list (lines that begin with `-`), found a mapping"},
		{"list for mapping", "kind: App\nname: web\nspec:\n  - image: x\n",
			`f:4:3: spec: expected fields (a mapping), found a list`},
		{"list for text", "kind: App\nname: web\nspec:\n  image: [a]\n",
			`f:4:10: spec.image: expected text, found a list`},
		{"enum", "kind: App\nname: web\nspec:\n  autoscale: {rounding: NEARST}\n",
			`f:4:25: spec.autoscale.rounding: "NEARST" is not one of NEAREST, UP, DOWN; did you mean "NEAREST"?`},
		{"twice", "kind: App\nname: web\nspec:\n  drainSeconds: 3\n  drain_seconds: 4\n",
			`f:5:3: spec.drain_seconds: this field is set twice, first in line 4`},
		{"no kind", "name: web\n", "f:1:1: `kind` is missing; it is one of Cluster, Project, Secret, Volume, Gateway, App, Route, StreamRoute"},
		{"wrong kind", "kind: Ap\n", `f:1:7: kind: there is no kind "Ap"; did you mean "App"?`},
		{"no name", "kind: App\n", `f:1:1: name: a resource needs a name`},
		{"no project", "kind: App\nname: web\n", `f:2:1: name: the project is not known; write projects/PROJECT/apps/web, or name a project with -p`},
		{"not a resource", "- a\n", "f:1:1: a resource is a mapping that begins with `kind: App`, not a list"},
		{"second document", "kind: Project\nname: pay\n---\nkind: Project\nnaem: x\n", `f:5:1: naem: unknown field; did you mean "name"?`},
		{"syntax", "kind: App\nname: [\n", `f:2: this is not YAML: did not find expected node content`},
		{"merge key", "kind: App\nname: web\n<<: {a: b}\n", `f:3:1: <<: unknown field; known here: createTime, etag, name, spec, status`},
		{"empty", "# nothing\n", "f: there is no resource in it; begin with `kind: App`"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			project := "hello"
			if tt.name == "no project" {
				project = ""
			}
			_, err := Parse("f", []byte(tt.text), project)
			if !fault.Is(err, fault.KindInvalid) {
				t.Fatalf("got %v", err)
			}
			first, _, _ := strings.Cut(err.Error(), "\n")
			if first != tt.want {
				t.Errorf("got  %s\nwant %s", first, tt.want)
			}
		})
	}
}

func TestParseReportsAllWrongPlaces(t *testing.T) {
	_, err := Parse("f", []byte("kind: App\nname: web\nspec:\n  imge: a\n  replicas: x\n---\nkind: Nothing\n"), "hello")
	if got := len(fault.From(err).Violations); got != 3 {
		t.Errorf("got %d violations, want 3: %v", got, err)
	}
}

func TestParseIsBounded(t *testing.T) {
	bomb := "kind: App\nname: web\nspec:\n  placement: &a {clusters: [*a, *a, *a, *a, *a, *a, *a, *a, *a]}\n"
	if _, err := Parse("f", []byte(bomb), "hello"); err == nil {
		t.Error("a document that contains itself must be refused")
	}
	if _, err := Parse("f", make([]byte, MaxBytes+1), "hello"); err == nil {
		t.Error("a file that is too large must be refused")
	}
}

func TestLocate(t *testing.T) {
	docs, err := Parse("app.yaml", []byte(good), "hello")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"app.spec.replicas":                            "app.yaml:13:3: spec.replicas: ",
		"app.spec.ports[0].port":                       "app.yaml:19:26: spec.ports[0].port: ",
		"app.spec.autoscale.tolerance_percent":         "app.yaml:24:3: spec.autoscale.tolerance_percent: ",
		"app.spec.autoscale.metrics[0].target_percent": "app.yaml:30:9: spec.autoscale.metrics[0].target_percent: ",
		"parent": "app.yaml:9:1: parent: ",
	}
	for field, want := range tests {
		if got := docs[0].Locate(field).Error(); got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
}

// The tables of kinds and references must follow the API.
func TestTablesNameRealFields(t *testing.T) {
	for _, k := range kinds() {
		fields := k.new().ProtoReflect().Descriptor().Fields()
		for _, name := range k.outputOnly {
			if fields.ByName(name) == nil {
				t.Errorf("%s has no field %s", k.name, name)
			}
		}
	}
	for name := range references() {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Errorf("there is no field %s", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("kind: App\nname: &a [*a]\nspec: *a\n"))
	f.Add([]byte("kind: Cluster\nname: site-a\nweight: 0x10\n"))
	f.Add([]byte("kind: App\n? [a]\n: b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Parse("f", data, "p")
		if err != nil {
			if !fault.Is(err, fault.KindInvalid) || !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("an error must be Invalid and name the file: %v", err)
			}
			return
		}
		for _, d := range docs {
			if _, err := proto.Marshal(d.Resource); err != nil {
				t.Errorf("%s cannot be sent: %v", d.Kind, err)
			}
		}
	})
}
