// Package decision records what the pure packages decided, with all inputs,
// so that it can be explained and replayed.
package decision

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"gantry.dev/services/cluster-mgr/internal/autoscale"
	"gantry.dev/services/cluster-mgr/internal/placement"
	"gantry.dev/services/cluster-mgr/internal/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Record is a decision on its way into the store.
type Record struct{ d *gantryv1.Decision }

// New records any decision; in and out are kept as JSON.
func New(kind gantryv1.Decision_Kind, subject, summary string, in, out any) Record {
	now := time.Now()
	return Record{&gantryv1.Decision{
		Name:       "decisions/" + id(now),
		Kind:       kind,
		Subject:    subject,
		Time:       timestamppb.New(now),
		Summary:    summary,
		InputJson:  encode(in),
		OutputJson: encode(out),
	}}
}

// Placement records where an app's replicas go.
func Placement(in placement.Input, out placement.Plan) Record {
	summary := fmt.Sprintf("%d replicas of %s are divided over %d clusters", out.Total(), in.App, len(out.Shares))
	if out.Shortfall != nil {
		summary = out.Shortfall.Sentence
	}
	r := New(gantryv1.Decision_KIND_PLACEMENT, in.App, summary, in, out)
	r.d.Formula = out.Formula
	from := 0
	for _, s := range out.Shares {
		from += s.From
		r.d.Reasons = append(r.d.Reasons, s.Reason)
	}
	for _, c := range in.Clusters {
		if c.Use != "" {
			r.d.Reasons = append(r.d.Reasons, "use of "+c.Name+": "+c.Use)
		}
	}
	r.d.From, r.d.To = strconv.Itoa(from), strconv.Itoa(out.Total())
	return r
}

// Autoscale records how many replicas an app gets.
func Autoscale(in autoscale.Input, out autoscale.Decision) Record {
	r := New(gantryv1.Decision_KIND_AUTOSCALE, in.App, out.Reason, in, out)
	r.d.Formula = out.Formula
	r.d.From, r.d.To = strconv.Itoa(in.Current), strconv.Itoa(out.Desired)
	return r
}

// Between sets what it was before and after, in words.
func (r Record) Between(from, to string) Record {
	r.d.From, r.d.To = from, to
	return r
}

// Because adds reasons, a sentence each.
func (r Record) Because(reasons ...string) Record {
	r.d.Reasons = append(r.d.Reasons, reasons...)
	return r
}

// Epoch sets the deciding leader's epoch.
func (r Record) Epoch(epoch int64) Record {
	r.d.Epoch = epoch
	return r
}

// Put adds the record to a change and gives its name.
func (r Record) Put(s *store.Store, change *store.Change) string {
	s.Decisions.Put(change, r.d.GetName(), r.d, 0)
	return r.d.GetName()
}

// id sorts by time: milliseconds since 1970 in fixed width, then chance.
func id(now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%013d-%s", now.UnixMilli(), hex.EncodeToString(b[:]))
}

// encode is for values that are plain data: it cannot fail but for NaN, which
// the pure packages' own encoders take care of.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%q", "not encodable: "+err.Error())
	}
	return string(b)
}
