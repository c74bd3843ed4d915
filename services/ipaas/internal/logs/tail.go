package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/timeline"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/ipaas/internal/kube"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// longest is the length of a line, in bytes, beyond which it is cut.
const longest = 64 << 10

// tail reads one pod's log, over restarts of its container while following.
type tail struct {
	*stream
	pod kube.Pod
	out *timeline.Source[item]

	mark timeline.Mark
	// The sentence that was said last.
	said string
}

func (t *tail) run(ctx context.Context) {
	defer t.out.Close()
	for {
		err := t.read(ctx)
		if ctx.Err() != nil {
			return
		}
		pod, there := t.now(t.pod)
		if there {
			t.pod = pod
		}
		if err != nil && (there || !t.req.Follow) {
			t.say(ctx, err)
		}
		if !t.req.Follow || !there || !pause(ctx) {
			return
		}
	}
}

// say tells once why there are no lines.
func (t *tail) say(ctx context.Context, err error) {
	sentence := fmt.Sprintf("%s: %v", t.pod.Name, err)
	if t.pod.Trouble != "" && fault.HasReason(err, "LOG_NOT_THERE") {
		sentence = fmt.Sprintf("%s has printed nothing: %s", t.pod.Name, t.pod.Trouble)
	}
	if sentence != t.said {
		t.said = sentence
		_ = t.out.Put(ctx, t.mark.Last(), item{notice: sentence}) // ctx has ended
	}
}

// read reads until the log ends, from the last line on.
func (t *tail) read(ctx context.Context) error {
	options := t.req.LogOptions
	if last := t.mark.Last(); !last.IsZero() {
		options.Since, options.Tail = last, 0
	}
	log, err := t.reader.Open(ctx, t.pod.Namespace, t.pod.Name, options)
	if err != nil {
		return err
	}
	defer log.Close()
	// Only now is it certain that whatever ran before has ended.
	if err := t.former(ctx, options); err != nil {
		return err
	}
	return t.lines(ctx, log)
}

// former reads what the container before the last restart has printed since
// the wanted time: its last lines may not have come while it ran, because
// nobody read them then or because they were written late.
func (t *tail) former(ctx context.Context, options kube.LogOptions) error {
	if options.Since.IsZero() || options.Tail > 0 || options.Previous {
		return nil
	}
	options.Follow, options.Previous = false, true
	log, err := t.reader.Open(ctx, t.pod.Namespace, t.pod.Name, options)
	if fault.HasReason(err, "LOG_NOT_THERE") {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	return t.lines(ctx, log)
}

// lines puts the lines of a log that have not been put yet.
func (t *tail) lines(ctx context.Context, log io.Reader) error {
	t.mark.Resume()
	lines := bufio.NewReaderSize(log, 4<<10)
	for {
		text, truncated, err := nextLine(lines)
		if err != nil {
			return ended(err)
		}
		at, text, ok := stamp(text)
		if !ok || at.Before(t.req.Since) || !t.mark.New(at) {
			continue // the API server begins with the whole second
		}
		if err := t.put(ctx, at, text, truncated); err != nil {
			return err
		}
	}
}

func (t *tail) put(ctx context.Context, at time.Time, text []byte, truncated bool) error {
	if t.req.Match != nil && !t.req.Match.Match(text) {
		return nil
	}
	return t.out.Put(ctx, at, item{line: &gantryv1.LogLine{
		Pod: t.pod.Name, Time: timestamppb.New(at), Text: strings.ToValidUTF8(string(text), "\uFFFD"), Truncated: truncated,
	}})
}

// ended: the end of a log is no error.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fault.Unavailable("LOG_BROKEN", "the log broke off: %w", err)
}

// nextLine gives a line without its end, cut when it is too long.
func nextLine(r *bufio.Reader) (line []byte, truncated bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if room := longest - len(line); len(part) > room {
			part, truncated = part[:room], true
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = nil // the last line has no end
		}
		return bytes.TrimRight(line, "\r\n"), truncated, err
	}
}

// stamp takes the time off a line.
func stamp(line []byte) (at time.Time, text []byte, ok bool) {
	head, text, _ := bytes.Cut(line, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(head))
	return at, text, err == nil
}
