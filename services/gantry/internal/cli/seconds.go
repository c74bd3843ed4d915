package cli

import "time"

// wholeSeconds is the value of a flag that the API takes in seconds.
func wholeSeconds(flag string, d time.Duration) (int32, error) {
	if d%time.Second != 0 || d < 0 {
		return 0, usage("--%s takes whole seconds, not %s", flag, d)
	}
	return int32(d / time.Second), nil
}
