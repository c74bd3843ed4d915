package cli

import (
	"os"
	"path/filepath"
	"testing"

	"gantry.dev/pkg/seal"
)

// What cluster-mgr seals for a gateway opens with the key that is printed, and
// with no other gateway's.
func TestGatewayKey(t *testing.T) {
	_, config := startPlatform(t)
	secret, file := seal.New(), filepath.Join(t.TempDir(), "secret.key")
	if err := os.WriteFile(file, []byte(secret.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	sealed, err := secret.Derive("gateway/main").Seal([]byte("private"), []byte("a.example"))
	if err != nil {
		t.Fatal(err)
	}
	for gateway, opens := range map[string]bool{"main": true, "gateways/main": true, "edge": false} {
		got := gantry(t, config, "", "gateway", "key", gateway, "--secret-key", file)
		key, err := seal.Parse(got.out)
		if got.code != 0 || err != nil {
			t.Fatalf("exit code %d, %v: %s", got.code, err, got.err)
		}
		if plain, err := key.Open(sealed, []byte("a.example")); (err == nil) != opens || opens && string(plain) != "private" {
			t.Errorf("%s: opened %q, %v", gateway, plain, err)
		}
	}
	if got := gantry(t, config, "", "gateway", "key", "main"); got.code != 2 {
		t.Errorf("without a file: exit code %d", got.code)
	}
}
