package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const mountinfo = `22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:5 / /srv/gantry/.local/run/site-a/containerd/x rw - overlay overlay rw
31 22 0:6 / /srv/gantry/.local/run/site-a/containerd/x/proc rw - proc proc rw
32 22 0:7 / /srv/gantry/.local/run/site-a2 rw - tmpfs tmpfs rw
33 22 0:8 / /srv/gantry/.local/run/site-a rw - tmpfs tmpfs rw
34 22 0:9 / /srv/gantry/.local/run/site-a/with\040space rw - tmpfs tmpfs rw
short line
`

func TestMountsBelow(t *testing.T) {
	want := []string{
		"/srv/gantry/.local/run/site-a/containerd/x/proc",
		"/srv/gantry/.local/run/site-a/containerd/x",
		"/srv/gantry/.local/run/site-a/with space",
		"/srv/gantry/.local/run/site-a",
	}
	if diff := cmp.Diff(want, mountsBelow([]byte(mountinfo), "/srv/gantry/.local/run/site-a")); diff != "" {
		t.Error(diff)
	}
}

func TestUnescapeProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringOf(rapid.RuneFrom(nil, &unicodeRange)).Draw(t, "path")
		var escaped strings.Builder
		for _, b := range []byte(path) {
			if b == ' ' || b == '\t' || b == '\n' || b == '\\' {
				fmt.Fprintf(&escaped, `\%03o`, b)
			} else {
				escaped.WriteByte(b)
			}
		}
		if got := unescape(escaped.String()); got != path {
			t.Fatalf("%q became %q", path, got)
		}
	})
}

// A record may be old or edited: only paths that the platform knows are removed.
func TestRestoreRemovesOnlyKnownPaths(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "host.json")
	record := fmt.Sprintf(`{"forwarding":"nonsense","absent":[%q]}`, precious)
	if err := os.WriteFile(file, []byte(record), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Restore(file); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("a path of somebody else was removed: %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the record was kept")
	}
	if err := Restore(file); err != nil {
		t.Errorf("restoring twice: %v", err)
	}
}

// The first record counts: a second `up` after a crash sees our own changes.
func TestRememberKeepsTheFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "host.json")
	if err := os.WriteFile(file, []byte(`{"forwarding":"0"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Remember(file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil || string(data) != `{"forwarding":"0"}` {
		t.Errorf("record is %s %v", data, err)
	}
}

// unicodeRange holds what paths are made of, blanks and backslashes included.
var unicodeRange = unicode.RangeTable{R16: []unicode.Range16{{Lo: '\t', Hi: '\n', Stride: 1}, {Lo: ' ', Hi: '~', Stride: 1}, {Lo: 0xe0, Hi: 0xff, Stride: 1}}}
