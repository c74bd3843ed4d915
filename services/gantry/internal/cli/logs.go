package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gantry.dev/pkg/fault"
	"gantry.dev/pkg/timeline"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/gantry/internal/client"
	"gantry.dev/services/gantry/internal/output"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// logOptions are the flags of `gantry logs`.
type logOptions struct {
	follow, previous, timestamps bool
	since                        time.Duration
	tail                         int32
	grep, format                 string
	pods, clusters               []string
}

func (s *runner) logsCommand() *cobra.Command {
	o := &logOptions{}
	cmd := &cobra.Command{
		Use:   "logs APP",
		Short: "Show what the containers of an app print, of all clusters as one",
		Long: `Shows the lines of all pods of an app in the order of time, each behind its
cluster and pod. With -f it goes on with new lines, also of new pods and over
restarts, until it is interrupted. What cannot be shown is said on standard error.`,
		Example: `  gantry logs web -f --since 10m
  gantry logs web --grep 'status=5..' --cluster site-b
  gantry logs web --previous --pod web-7c9f-x2x4v`,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.follow, "follow", "f", false, "go on with what is printed from now on")
	flags.DurationVar(&o.since, "since", 0, "only lines of the last so long: 10m, 2h")
	flags.Int32Var(&o.tail, "tail", 0, "only so many last lines of each pod (default all that are kept)")
	flags.BoolVar(&o.previous, "previous", false, "what was printed before each container's last restart")
	flags.StringVar(&o.grep, "grep", "", "only lines in which this regular expression (RE2) is found")
	flags.StringSliceVar(&o.pods, "pod", nil, "only these pods")
	flags.StringSliceVar(&o.clusters, "cluster", nil, "only these clusters")
	flags.BoolVar(&o.timestamps, "timestamps", false, "show when each line was printed")
	flags.StringVarP(&o.format, "output", "o", "text", "format: text, json (a line each)")
	cmd.ValidArgsFunction = s.completeApp
	cmd.RunE = s.withClient(0, func(ctx context.Context, c *client.Client, args []string) error {
		return s.logs(ctx, c, args[0], o)
	})
	return cmd
}

func (s *runner) logs(ctx context.Context, c *client.Client, app string, o *logOptions) error {
	name, err := s.appOf(app)
	if err != nil {
		return err
	}
	if o.format != "text" && o.format != "json" {
		return usage("-o takes text or json, not %q", o.format)
	}
	r := &gantryv1.StreamLogsRequest{Name: name, Follow: o.follow, TailLines: o.tail, Previous: o.previous, Match: o.grep, Pods: o.pods}
	for _, cluster := range o.clusters {
		r.Clusters = append(r.Clusters, "clusters/"+output.Last(cluster))
	}
	if o.since > 0 {
		r.SinceTime = timestamppb.New(s.Now().Add(-o.since))
	}
	l := &logPrinter{out: bufio.NewWriter(s.Out), notes: s.Err, options: o, marks: map[string]*timeline.Mark{}}
	for {
		err := l.print(ctx, c, r)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return endOfWatch(ctx)
		case !o.follow || !fault.Is(err, fault.KindUnavailable):
			return err
		}
		fmt.Fprintln(s.Err, "the stream broke off; trying again")
		if !s.pause(ctx) {
			return endOfWatch(ctx)
		}
		l.resume(r)
	}
}

// logPrinter prints each line once, also when the stream breaks off.
type logPrinter struct {
	out     *bufio.Writer
	notes   io.Writer
	options *logOptions
	// By cluster and pod.
	marks  map[string]*timeline.Mark
	latest time.Time
}

// behind is how far the lines of one pod may be behind those of another.
const behind = time.Minute

// resume makes a request go on where the last one broke off.
func (l *logPrinter) resume(r *gantryv1.StreamLogsRequest) {
	for _, m := range l.marks {
		m.Resume()
	}
	if !l.latest.IsZero() {
		r.SinceTime, r.TailLines = timestamppb.New(l.latest.Add(-behind)), 0
	}
}

func (l *logPrinter) print(ctx context.Context, c *client.Client, r *gantryv1.StreamLogsRequest) error {
	stream, err := c.Apps.StreamLogs(ctx, r)
	if err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, notice := range response.GetNotices() {
			fmt.Fprintln(l.notes, notice)
		}
		for _, line := range response.GetLines() {
			if err := l.line(line); err != nil {
				return err
			}
		}
		if err := l.out.Flush(); err != nil {
			return err
		}
	}
}

func (l *logPrinter) line(line *gantryv1.LogLine) error {
	at, voice := line.GetTime().AsTime(), output.Last(line.GetCluster())+"/"+line.GetPod()
	if l.marks[voice] == nil {
		l.marks[voice] = &timeline.Mark{}
	}
	if !l.marks[voice].New(at) {
		return nil
	}
	l.latest = at
	if l.options.format == "json" {
		return json.NewEncoder(l.out).Encode(jsonLine{output.Last(line.GetCluster()), line.GetPod(), at, line.GetText(), line.GetTruncated()})
	}
	var b strings.Builder
	b.WriteString(voice + " ")
	if l.options.timestamps {
		b.WriteString(at.Local().Format("2006-01-02T15:04:05.000Z07:00") + " ")
	}
	b.WriteString(line.GetText())
	if line.GetTruncated() {
		b.WriteString(" […]")
	}
	_, err := fmt.Fprintln(l.out, b.String())
	return err
}

// jsonLine is a line as -o json prints it.
type jsonLine struct {
	Cluster   string    `json:"cluster"`
	Pod       string    `json:"pod"`
	Time      time.Time `json:"time"`
	Text      string    `json:"text"`
	Truncated bool      `json:"truncated,omitempty"`
}
