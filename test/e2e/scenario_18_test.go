package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	firstValue  = "the first value"
	secondValue = "the second value"
)

func Test18SecretsAndVolumes(t *testing.T) {
	platform(t)
	storage := t.TempDir()
	if err := os.WriteFile(filepath.Join(storage, "marker"), []byte("shared"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { forgotten(t) })
	setSecret(t, firstValue)
	applies(t, bringing("bring", 2, volume("both", storage, "site-a", "site-b")))
	applies(t, bringing("narrow", 1, volume("one", storage, "site-a")))
	holdsValue(t, "bring", 2, firstValue)
	holdsValue(t, "narrow", 1, firstValue)

	setSecret(t, secondValue)
	time.Sleep(5 * time.Second) // in which a running pod would have been replaced
	holdsValue(t, "bring", 2, firstValue)
	setSecret(t, secondValue, "--release-apps")
	holdsValue(t, "bring", 2, secondValue)
	holdsValue(t, "narrow", 1, secondValue)
	must(t, "rollback", "app", "bring", "--to", "1", "-p", "demo")
	holdsValue(t, "bring", 2, firstValue)

	wanted, _ := placed(read[app](t, "get", "app", "narrow", "-p", "demo"))
	if wanted["site-a"] != 1 || wanted["site-b"] != 0 {
		t.Errorf("an app whose volume is in site-a is placed so: %v", wanted)
	}
	r := gantry(t, "", "cluster", "migrate", "site-a", "--dry-run")
	if said := r.out + r.err; !strings.Contains(said, "volume projects/demo/volumes/one is not in site-b") {
		t.Errorf("the migration does not name the volume:\n%s", said)
	}
}

func setSecret(t *testing.T, value string, flags ...string) {
	t.Helper()
	args := append([]string{"secret", "set", "bring", "--from-file", "password=-", "-p", "demo"}, flags...)
	eventually(t, time.Minute, func() string {
		if r := gantry(t, value, args...); r.code != 0 {
			return r.err
		}
		return ""
	})
}

// volume is a directory that some sites have.
func volume(name, directory string, sites ...string) string {
	text := "kind: Volume\nname: projects/demo/volumes/" + name + "\nsources:\n"
	for _, site := range sites {
		text += fmt.Sprintf("  - cluster: %s\n    directory: %s\n", site, directory)
	}
	return text
}

// bringing is the sample as an app that mounts a volume and takes the secret.
func bringing(name string, replicas int, volume string) string {
	id := strings.TrimPrefix(strings.SplitN(volume, "\n", 3)[1], "name: projects/demo/volumes/")
	return volume + fmt.Sprintf(`---
kind: App
name: projects/demo/apps/%s
spec:
  image: hello:v1
  replicas: %d
  resources: {cpu: 50m, memory: 64Mi}
  ports:
    - {name: http, port: 8080}
  readiness: {httpPath: /healthz, port: 8080, periodSeconds: 1}
  env:
    - name: WHO
      value: %s
    - name: PASSWORD
      secret: {secret: bring, key: password}
  files:
    - path: /etc/hello/password
      secret: {secret: bring, key: password}
  volumes:
    - {volume: %s, path: /data}
`, name, replicas, name, id)
}

// holdsValue waits until an app runs in so many containers and each of them has
// the value and sees the volume.
func holdsValue(t *testing.T, name string, containers int, value string) {
	t.Helper()
	eventually(t, 2*time.Minute, func() string {
		if a := read[app](t, "get", "app", name, "-p", "demo"); a.Status.Progressing || a.Status.ReadyReplicas != containers {
			return fmt.Sprintf("%d of %d replicas of %s are ready", a.Status.ReadyReplicas, containers, name)
		}
		roots := containersOf(t, name)
		if len(roots) != containers {
			return fmt.Sprintf("%s has %d containers", name, len(roots))
		}
		for proc, environment := range roots {
			if !strings.Contains(environment, "\x00PASSWORD="+value+"\x00") {
				return "a variable has another value"
			}
			file, err := os.ReadFile(filepath.Join(proc, "root", "etc", "hello", "password"))
			if err != nil || string(file) != value {
				return fmt.Sprintf("a file says %q: %v", file, err)
			}
			if marker, err := os.ReadFile(filepath.Join(proc, "root", "data", "marker")); err != nil || string(marker) != "shared" {
				return fmt.Sprintf("the volume's file says %q: %v", marker, err)
			}
		}
		return ""
	})
}

// containersOf gives the environment of an app's containers by their folder in
// /proc: both sites' containers are processes of this machine.
func containersOf(t *testing.T, name string) map[string]string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, path := range all {
		text, err := os.ReadFile(path) // it may have ended
		if err == nil && bytes.Contains(append([]byte{0}, text...), []byte("\x00WHO="+name+"\x00")) {
			found[filepath.Dir(path)] = "\x00" + string(text)
		}
	}
	return found
}

// forgotten takes away what the scenario made.
func forgotten(t *testing.T) {
	t.Helper()
	for _, name := range []string{"app/bring", "app/narrow", "volume/both", "volume/one", "secret/bring"} {
		eventually(t, time.Minute, func() string {
			if r := gantry(t, "", "delete", name, "-p", "demo"); r.code != 0 && r.code != 3 {
				return r.err
			}
			return ""
		})
	}
	eventually(t, 2*time.Minute, func() string {
		if n := len(containersOf(t, "bring")) + len(containersOf(t, "narrow")); n > 0 {
			return fmt.Sprintf("%d containers go on", n)
		}
		return ""
	})
}
