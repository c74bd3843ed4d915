package app

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets Keepalived run the test's own program as its check.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == CheckCommand {
		if Check(context.Background(), os.Args[3]) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
