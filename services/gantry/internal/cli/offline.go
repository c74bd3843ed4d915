package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"gantry.dev/pkg/fault"
	"gantry.dev/services/cluster-mgr/offline"
	"gantry.dev/services/gantry/internal/output"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

func (s *runner) placementCommand() *cobra.Command {
	return group("placement", "Divide replicas over clusters on this machine", s.decideCommand(
		"plan", "Divide the replicas of an app from stored inputs", offline.Placement,
		`Computes a placement decision again, with the code of the platform.`,
		"  gantry explain decision/ID -o json | gantry placement plan -f -"))
}

func (s *runner) failoverCommand() *cobra.Command {
	return group("failover", "Plan a switch, a migration or a return on this machine", s.decideCommand(
		"plan", "Plan how a cluster is left, or given work back, from inputs in a file", offline.Failover,
		`Computes a failover plan with the code of the platform. An input with to_percent is
a switch of traffic, with app a shift of its requests, with healthy_since_unix a
return, with switch_allowed an approval by policy, with observation the next step of
a plan; any other is a migration.`,
		"  gantry failover plan -f migrate.json\n  gantry failover plan -f migrate.json -o json"))
}

func (s *runner) autoscaleEval() *cobra.Command {
	return s.decideCommand(
		"eval", "Decide the replicas of an app again from stored inputs", offline.Autoscale,
		`Computes an autoscale decision again, with the code of the platform.`,
		"  gantry explain decision/ID -o json | gantry autoscale eval -f -\n  gantry autoscale eval -f input.json -o yaml")
}

// decideCommand makes a decision again from a file, without a server.
func (s *runner) decideCommand(verb, short string, decide func([]byte) (offline.Answer, error), long, example string) *cobra.Command {
	var format, file string
	cmd := &cobra.Command{
		Use:   verb + " -f FILE",
		Short: short,
		Long: long + `

FILE is JSON: the inputs of a decision, or a decision with its inputs as
` + "`gantry explain decision/ID -o json`" + ` prints it. No server is asked.`,
		Example: example,
		Args:    cobra.NoArgs,
	}
	offlineFormats(cmd, &format)
	cmd.Flags().StringVarP(&file, "filename", "f", "", "JSON file; - is standard input")
	_ = cmd.MarkFlagFilename("filename", "json") // the flag is there
	cmd.RunE = s.run(func(*cobra.Command, []string) error {
		form, err := offlineFormat(format)
		if err != nil {
			return err
		}
		data, err := s.offlineFile("-f FILE", file)
		if err != nil {
			return err
		}
		answer, err := decide(data)
		if err != nil {
			return fault.Invalid("INPUT_INVALID", "%s: %w", file, err)
		}
		if answer.Differs() {
			fmt.Fprintln(s.Err, "the platform decided otherwise then; another version of it may have decided (-o json shows the whole answer)")
		}
		return s.showOffline(form, answer, func(w io.Writer) { tellAnswer(w, answer) })
	})
	return cmd
}

func (s *runner) autoscaleReplay() *cobra.Command {
	var format, series, policy string
	cmd := &cobra.Command{
		Use:   "replay --series FILE.csv --policy FILE",
		Short: "Try a policy on recorded load: one decision per moment",
		Long: `Decides at every moment of a recorded series, with the code of the platform, and
shows a row per decision. No server is asked.

The series is CSV and begins with the line time,pod,value: seconds or a time like
2026-11-23T07:30:00Z; the pod's name; percent of the pod's request, where nothing
stands for a missing sample. A pod without a row at a moment was not there then.

The policy is JSON: the fields of a stored input's policy (min, max, rounding,
tolerance_percent, window_seconds, max_step_up, max_step_down), and
  target            percent of its request that each pod shall use; required
  replicas          before the first decision (default: as many as were recorded)
  interval_seconds  between two decisions (default: the usual step of the series)

The number and the history go from one decision to the next. Pods and load stay the
recorded ones: more replicas do not lower the recorded load, and those that were
not recorded count as not ready.`,
		Example: "  echo '{\"target\": 50, \"min\": 2, \"max\": 20}' | gantry autoscale replay --series load.csv --policy -",
		Args:    cobra.NoArgs,
	}
	offlineFormats(cmd, &format)
	cmd.Flags().StringVar(&series, "series", "", "CSV file of the load; - is standard input")
	cmd.Flags().StringVar(&policy, "policy", "", "JSON file of the policy; - is standard input")
	_ = cmd.MarkFlagFilename("series", "csv")  // the flag is there
	_ = cmd.MarkFlagFilename("policy", "json") // the flag is there
	cmd.RunE = s.run(func(*cobra.Command, []string) error {
		form, err := offlineFormat(format)
		if err != nil {
			return err
		}
		if series == "-" && policy == "-" {
			return usage("only one of --series and --policy can be standard input")
		}
		steps, err := s.replay(series, policy)
		if err != nil {
			return err
		}
		return s.showOffline(form, map[string]any{"steps": steps}, func(w io.Writer) { tellSteps(w, steps, form == output.Wide) })
	})
	return cmd
}

func (s *runner) replay(series, policy string) ([]offline.Step, error) {
	rules, err := s.offlineFile("--policy FILE", policy)
	if err != nil {
		return nil, err
	}
	load, err := s.offlineFile("--series FILE.csv", series)
	if err != nil {
		return nil, err
	}
	steps, err := offline.Replay(bytes.NewReader(load), rules)
	if err != nil {
		return nil, fault.Invalid("INPUT_INVALID", "%w", err)
	}
	return steps, nil
}

// offlineFile reads a file that must be named, of any size: it is the user's machine.
func (s *runner) offlineFile(flag, file string) (data []byte, err error) {
	switch file {
	case "":
		return nil, usage("name a file with %s", flag)
	case "-":
		data, err = io.ReadAll(s.In)
	default:
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fault.Invalid("FILE_UNREADABLE", "cannot read the file: %w", err)
	}
	return data, nil
}

// formatsOffline are those of values that have no name.
func formatsOffline() []string {
	return slices.DeleteFunc(output.Formats(), func(f string) bool { return f == string(output.Name) })
}

func offlineFormats(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVarP(format, "output", "o", "", "format: "+strings.Join(formatsOffline(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formatsOffline(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

func offlineFormat(text string) (output.Format, error) {
	form, err := output.ParseFormat(text)
	if err != nil || form == output.Name {
		return "", usage("there is no output format %q here; use one of %s", text, strings.Join(formatsOffline(), ", "))
	}
	return form, nil
}

// showOffline prints what is no resource of the API: as data, or told in words.
func (s *runner) showOffline(form output.Format, value any, tell func(io.Writer)) error {
	if form != output.JSON && form != output.YAML {
		tell(s.Out)
		return nil
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fault.Internal("ENCODE", "encode the answer: %w", err)
	}
	data := text.Bytes()
	if form == output.YAML {
		var err error
		if data, err = yamlOfJSON(data); err != nil {
			return fault.Internal("ENCODE", "encode the answer: %w", err)
		}
	}
	_, err := s.Out.Write(data)
	return err
}

// yamlOfJSON keeps the order of the fields. JSON is YAML but for some characters, which are escaped.
func yamlOfJSON(data []byte) ([]byte, error) {
	var escaped strings.Builder
	for _, r := range string(data) {
		if r >= 0x7f && r <= 0xffff && !unicode.IsPrint(r) {
			fmt.Fprintf(&escaped, `\u%04x`, r)
			continue
		}
		escaped.WriteRune(r)
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(escaped.String()), &root); err != nil {
		return nil, err
	}
	plain(&root)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&root); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// plain takes JSON's brackets and quotes off; strings that would be read as something else stay quoted.
func plain(n *yaml.Node) {
	quoted := n.Kind == yaml.ScalarNode && n.Tag == "!!str" && (strings.ContainsFunc(n.Value, unicode.IsControl) ||
		(&yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}).ShortTag() != "!!str" || n.Value == "<<")
	if !quoted {
		n.Style = 0
	}
	for _, child := range n.Content {
		plain(child)
	}
}

// tellAnswer tells an answer as `gantry explain` tells a decision.
func tellAnswer(w io.Writer, a offline.Answer) {
	fmt.Fprintf(w, "%s of %s: %s", a.Kind, oneLine(output.Short(a.Subject)), a.Action)
	if a.From != a.To {
		fmt.Fprintf(w, " %s → %s", a.From, a.To)
	}
	fmt.Fprintf(w, "\n  %s\n", oneLine(a.Summary))
	if a.Formula != "" {
		fmt.Fprintf(w, "  formula:  %s\n", oneLine(a.Formula))
	}
	for i, reason := range a.Reasons {
		label := "because: "
		if i > 0 {
			label = "         "
		}
		fmt.Fprintf(w, "  %s %s\n", label, oneLine(reason))
	}
	for i, step := range a.Steps {
		fmt.Fprintf(w, "  step %2d:  %s\n", i+1, oneLine(step))
	}
}

func tellSteps(out io.Writer, steps []offline.Step, wide bool) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	columns := []string{"TIME", "PODS", "SUM", "REPLICAS", "DESIRED", "ACTION", "REASON", "FORMULA"}
	if wide {
		columns = append(columns, "BECAUSE", "ALARM")
	}
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, s := range steps {
		pods := strconv.Itoa(s.Pods)
		if s.Samples != s.Pods {
			pods = fmt.Sprintf("%d/%d", s.Samples, s.Pods)
		}
		cells := []string{
			s.Time, pods, strconv.FormatFloat(math.Round(s.Sum*100)/100, 'f', -1, 64) + " %", strconv.Itoa(s.Replicas), strconv.Itoa(s.Desired),
			s.Action, s.Code, s.Formula,
		}
		if wide {
			cells = append(cells, s.Reason, s.Alarm)
		}
		for i, cell := range cells {
			if cells[i] = oneLine(cell); cell == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // what cannot be written to the screen cannot be told on it either
}

// oneLine lets nothing steer the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
