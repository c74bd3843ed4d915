package client

import (
	"os"
	"path/filepath"
	"testing"

	"gantry.dev/pkg/fault"
	"github.com/google/go-cmp/cmp"
)

const good = `current_context: local
contexts:
  - name: local
    server: https://127.0.0.1:8443/
    ca_file: ca.pem
    token_file: /tokens/ann
    project: pay
  - name: half
    server: 127.0.0.1:8443
`

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	write(t, path, good)
	cfg, err := Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{Context{Name: "local", Server: "127.0.0.1:8443", CAFile: filepath.Join(dir, "ca.pem"), TokenFile: "/tokens/ann", Project: "pay"}}
	if diff := cmp.Diff(want, cfg); diff != "" {
		t.Error(diff)
	}
}

func TestLoadErrors(t *testing.T) {
	tests := []struct{ name, text, context, reason string }{
		{"no such context", good, "other", "CONTEXT_UNKNOWN"},
		{"incomplete", good, "half", "CONFIG_INVALID"},
		{"no current", "contexts: []\n", "", "CONTEXT_MISSING"},
		{"unknown field", "contxts: []\n", "", "CONFIG_INVALID"},
		{"not YAML", "{", "", "CONFIG_INVALID"},
		{"empty", "", "", "CONFIG_INVALID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.yaml")
			write(t, path, tt.text)
			if _, err := Load(path, tt.context); !fault.HasReason(err, tt.reason) {
				t.Errorf("got %v, want %s", err, tt.reason)
			}
		})
	}
	if _, err := Load("/does/not/exist", ""); !fault.HasReason(err, "CONFIG_MISSING") {
		t.Errorf("got %v", err)
	}
}

func TestDefaultPath(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"HOME": "/home/ann"}
	getenv := func(name string) string { return env[name] }
	if got, want := DefaultPath(getenv), "/home/ann/.config/gantry/config.yaml"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := os.Mkdir(".local", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, ".local/gantry.yaml", good)
	if got, want := DefaultPath(getenv), ".local/gantry.yaml"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	env["GANTRY_CONFIG"] = "/other.yaml"
	if got, want := DefaultPath(getenv), "/other.yaml"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDialRefusesABadCA(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.pem")
	if _, err := Dial(&Config{Context{Server: "a:1", CAFile: path}}); !fault.HasReason(err, "CA_UNREADABLE") {
		t.Errorf("got %v", err)
	}
	write(t, path, "no certificate")
	if _, err := Dial(&Config{Context{Server: "a:1", CAFile: path}}); !fault.HasReason(err, "CA_INVALID") {
		t.Errorf("got %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
