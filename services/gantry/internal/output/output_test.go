package output

import (
	"bytes"
	"strings"
	"testing"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/manifest"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

// What is printed as YAML is read again as the same resource, whatever the text.
func TestYAMLIsAManifest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.OneOf(rapid.StringN(0, 20, -1), rapid.SampledFrom([]string{"on", "yes", "1", "1.5", "null", "~", "0x1", "a: b", "- a", "#", "'", "2026-10-22", "<<", "*a", "&a", "!!int 3", "\u0085", "\u2028"}))
		want := &gantryv1.App{
			Name: "projects/p/apps/web",
			Spec: &gantryv1.AppSpec{
				Image: word.Draw(t, "image"), Replicas: rapid.Int32().Draw(t, "replicas"),
				Env:       []*gantryv1.EnvVar{{Name: word.Draw(t, "name"), Value: word.Draw(t, "value")}},
				Args:      rapid.SliceOfN(word, 1, 3).Draw(t, "args"),
				Autoscale: &gantryv1.Autoscale{Rounding: gantryv1.Autoscale_Rounding(rapid.Int32Range(0, 3).Draw(t, "rounding"))},
			},
		}
		var text bytes.Buffer
		if err := (&Printer{Out: &text, Format: YAML}).One(want); err != nil {
			t.Fatal(err)
		}
		docs, err := manifest.Parse("f", text.Bytes(), "")
		if err != nil {
			t.Fatalf("%v\n%s", err, text.String())
		}
		if !proto.Equal(want, docs[0].Resource) {
			t.Fatalf("printed\n%s\nread as\n%v", text.String(), docs[0].Resource)
		}
	})
}

func TestTableKeepsOneRowOnOneLine(t *testing.T) {
	var text bytes.Buffer
	p := &Printer{Out: &text, Format: Table}
	for range 2 {
		if err := p.One(&gantryv1.Alarm{Name: "alarms/1", Kind: "ClusterDown", Summary: "a\nb\x1b[31m\u009b"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(text.String(), "\n"); got != 3 || strings.ContainsAny(text.String(), "\x1b\u009b") {
		t.Errorf("want a heading and two clean rows, got %q", text.String())
	}
}

func TestAge(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		-time.Second: "0s", 90 * time.Second: "90s", 119 * time.Minute: "119m", 47 * time.Hour: "47h", 72 * time.Hour: "3d",
	} {
		if got := age(timestamppb.New(now.Add(-ago)), now); got != want {
			t.Errorf("%s: got %s, want %s", ago, got, want)
		}
	}
	if got := age(nil, now); got != "" {
		t.Errorf("no time: %q", got)
	}
}

func TestNames(t *testing.T) {
	tests := []struct{ got, want string }{
		{Short("projects/pay/apps/web"), "app/web"},
		{Short("clusters/site-b"), "cluster/site-b"},
		{Short("web"), "web"},
		{ShortName(&gantryv1.Pod{Name: "web-1"}), "pod/web-1"},
		{enumWord("STATE_AWAITING_APPROVAL", "STATE_"), "AwaitingApproval"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}

func TestParseFormat(t *testing.T) {
	if _, err := ParseFormat("xml"); err == nil {
		t.Error("xml must be refused")
	}
	if f, err := ParseFormat(""); f != Table || err != nil {
		t.Errorf("got %s, %v", f, err)
	}
}
