// Package host remembers what the machine was like before the platform came
// up, and takes away what is left when it goes.
package host

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"gantry.dev/services/gantry/internal/local/network"
)

// Record is the machine's state from before.
type Record struct {
	// Forwarding is the kernel's routing switch, "0" or "1".
	Forwarding string `json:"forwarding"`
	// Absent are the fixed paths of other programs that did not exist: what
	// appears there is ours.
	Absent []string `json:"absent"`
}

// fixedPaths are written by containerd, the kubelet, CNI and ip whatever their
// configuration says.
func fixedPaths() []string {
	return []string{
		"/run/containerd", "/run/gantry-ingress-agent", "/var/lib/kubelet", "/var/lib/cni", "/var/log/containers",
		"/var/log/pods", "/run/netns", "/run/kubernetes", "/etc/cni", "/opt/containerd",
	}
}

// Remember writes the record unless there is one from an earlier, unfinished run.
func Remember(file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	forwarding, err := network.Forwarding()
	if err != nil {
		return fmt.Errorf("read the routing switch: %w", err)
	}
	r := Record{Forwarding: forwarding}
	for _, path := range fixedPaths() {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			r.Absent = append(r.Absent, path)
		}
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record of the machine: %w", err)
	}
	return os.WriteFile(file, data, 0o644)
}

// Restore makes the machine as the record says and deletes the record. The
// processes must be gone.
func Restore(file string) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("record of the machine: %w", err)
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("record of the machine %s: %w", file, err)
	}
	var errs []error
	if r.Forwarding == "0" || r.Forwarding == "1" {
		errs = append(errs, network.SetForwarding(r.Forwarding))
	}
	for _, path := range r.Absent {
		// Only paths of the list, whatever the file says.
		if slices.Contains(fixedPaths(), path) {
			errs = append(errs, remove(path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.Remove(file)
}

// remove leaves /run/netns alone while somebody else's namespace is in it.
func remove(path string) error {
	if path == "/run/netns" {
		if names, err := os.ReadDir(path); err != nil || len(names) > 0 {
			return nil //nolint:nilerr // it is not there, or not ours alone
		}
	}
	return errors.Join(Unmount(path), os.RemoveAll(path))
}

// Unmount removes every mount at or below a folder, the deepest first.
func Unmount(folder string) error {
	// Mounts may lie on top of each other, so it is done until none is left.
	for range 100 {
		points, err := mounts(folder)
		if err != nil || len(points) == 0 {
			return err
		}
		for _, point := range points {
			err := detach(point)
			if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
				return fmt.Errorf("unmount %s: %w", point, err)
			}
		}
	}
	return fmt.Errorf("mounts below %s keep coming back", folder)
}

func mounts(folder string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return mountsBelow(data, folder), nil
}

func mountsBelow(mountinfo []byte, folder string) []string {
	var points []string
	for lines := bufio.NewScanner(bytes.NewReader(mountinfo)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		point := unescape(fields[4])
		if point == folder || strings.HasPrefix(point, folder+string(filepath.Separator)) {
			points = append(points, point)
		}
	}
	slices.SortStableFunc(points, func(a, b string) int { return len(b) - len(a) })
	return points
}

// unescape turns the kernel's \040 into a space, and its likes.
func unescape(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
