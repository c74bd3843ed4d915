package serve

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"testing"
)

// run runs a service that does f and gives its exit code.
func run(args []string, f func(context.Context, Common) error) int {
	return main("test", args, func(*flag.FlagSet) func(context.Context, Common) error { return f })
}

func TestExitCodes(t *testing.T) {
	ok := func(context.Context, Common) error { return nil }
	tests := []struct {
		name string
		args []string
		run  func(context.Context, Common) error
		want int
	}{
		{"ended", nil, ok, 0},
		{"failed", nil, func(context.Context, Common) error { return errors.New("no etcd") }, 1},
		{"unknown flag", []string{"--nope"}, ok, 2},
		{"unknown level", []string{"--log-level", "loud"}, ok, 2},
		{"help", []string{"--help"}, ok, 0},
		{"metrics address taken by nobody", []string{"--metrics-listen", "256.0.0.1:1"}, ok, 1},
	}
	for _, tc := range tests {
		if got := run(tc.args, tc.run); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestMetricsAreServedWhileTheServiceRuns(t *testing.T) {
	const address = "127.0.0.1:17090"
	code := run([]string{"--metrics-listen", address}, func(ctx context.Context, c Common) error {
		for path, want := range map[string]string{"/healthz": "ok\n", "/metrics": ""} {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.MetricsListen+path, nil)
			if err != nil {
				return err
			}
			r, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			body, err := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if err != nil || r.StatusCode != http.StatusOK || want != "" && string(body) != want {
				t.Errorf("%s: %d %q %v", path, r.StatusCode, body, err)
			}
		}
		return nil
	})
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
}
