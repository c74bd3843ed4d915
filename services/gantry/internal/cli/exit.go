package cli

import (
	"errors"
	"fmt"
	"strings"

	"gantry.dev/pkg/fault"
)

// Exit codes of every command.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitConflict    = 5
	exitTimeout     = 6
	exitUnavailable = 7
)

// usageError is a command line that cannot be understood.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func exitCode(err error) int {
	var u usageError
	if errors.As(err, &u) {
		return exitUsage
	}
	switch fault.From(err).Kind {
	case fault.KindNotFound:
		return exitNotFound
	case fault.KindDenied, fault.KindUnauthenticated:
		return exitDenied
	case fault.KindConflict, fault.KindExists, fault.KindPrecondition:
		return exitConflict
	case fault.KindTimeout:
		return exitTimeout
	case fault.KindUnavailable:
		return exitUnavailable
	}
	return exitError
}

// report prints an error, its wrong fields, and what to try next.
func (s *runner) report(err error) {
	var u usageError
	if errors.As(err, &u) {
		fmt.Fprintf(s.Err, "error: %s\nnext: gantry --help, or gantry COMMAND --help\n", strings.TrimSpace(u.Error()))
		return
	}
	f := fault.From(err)
	fmt.Fprintf(s.Err, "error: %s\n", sentence(f))
	for _, v := range f.Violations {
		if !strings.Contains(f.Message, v.Description) {
			fmt.Fprintf(s.Err, "  %s: %s\n", v.Field, v.Description)
		}
	}
	fmt.Fprintf(s.Err, "next: %s\n", next(f))
}

// sentence puts gRPC's own words for common troubles into ours.
func sentence(f *fault.Error) string {
	switch {
	case f.Reason == "UNAVAILABLE":
		return "the platform does not answer: " + f.Message
	case f.Reason == "DEADLINE_EXCEEDED":
		return "the time ran out before the end was seen; what was begun goes on"
	case f.Kind == fault.KindCancelled:
		return "interrupted; what was begun goes on"
	}
	return f.Message
}

// next says what to try after an error of this kind.
func next(f *fault.Error) string {
	switch f.Reason {
	case "MANIFEST_INVALID", "INVALID_FIELDS":
		return "correct the file and apply it again; `gantry apply --dry-run -f FILE` checks without changing"
	case "CONFIG_MISSING", "CONFIG_INVALID", "CONTEXT_UNKNOWN", "CONTEXT_MISSING":
		return "gantry config get-contexts, or gantry local up"
	case "NOT_AUTOSCALED":
		return "write a policy into the app's file (spec.autoscale) and apply it, or use gantry scale app NAME --replicas N"
	case "AUTOSCALED":
		return "gantry autoscale pause APP holds the number; gantry get app APP -o yaml shows the policy"
	case "OPERATION_RUNNING":
		return "gantry get operations shows what runs; gantry operation wait ID waits for it"
	case "PLAN_OUTDATED", "PLAN_IMPOSSIBLE":
		return "look at the plan with gantry operation get ID, and at the room with gantry cluster survival"
	case "REQUEST_UNDER_WAY":
		return "wait a moment and look with `gantry get`; it was begun already"
	case "TOKEN_EXPIRED", "TOKEN_UNREADABLE", "TOKEN_INVALID":
		return "get a new token into the context's token_file (gantry local up renews the local one)"
	}
	if hint := localNext(f.Reason); hint != "" {
		return hint
	}
	switch f.Kind {
	case fault.KindNotFound:
		return "see what there is with `gantry get`, and check -p PROJECT and --context"
	case fault.KindDenied:
		return "ask an owner of the project, or an operator, for the permission"
	case fault.KindUnauthenticated:
		return "check the token_file of the context: gantry config get-contexts"
	case fault.KindConflict:
		return "look again with `gantry get -o yaml` and repeat the change on what is there now"
	case fault.KindExists:
		return "choose another name, or look at the present one with `gantry get`"
	case fault.KindPrecondition:
		return "look at the state with `gantry get` and `gantry explain`, then try again"
	case fault.KindExhausted:
		return "ask for less, or make room: gantry get clusters -o wide"
	case fault.KindTimeout:
		return "look with `gantry get`; give more time with --timeout"
	case fault.KindUnavailable:
		return "try again shortly; `gantry local status` shows a local platform's parts"
	case fault.KindCancelled:
		return "look with `gantry get`"
	case fault.KindInvalid:
		return "correct it as the message says; gantry COMMAND --help shows what is allowed"
	}
	return "run it again; if it stays, look into the logs of portal and cluster-mgr"
}

// localNext is next for what goes wrong on this machine.
func localNext(reason string) string {
	switch reason {
	case "LOCAL_NOT_RUNNING":
		return "gantry local up"
	case "LOCAL_NOT_READY":
		return "gantry local up starts what is down; the log of a failing part says why"
	case "PREFLIGHT":
		return "get what is missing, then `gantry local check` again; --nodes=fake needs less"
	case "DEMO_EXPECTATION_FAILED":
		return "open demo.html; gantry explain app/NAME and cluster/NAME tell what was decided"
	}
	return ""
}
