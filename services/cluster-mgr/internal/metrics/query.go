package metrics

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// longestRange is the longest range that a query may look back over.
const longestRange = time.Hour

// CheckQuery says why a query cannot be an app's metric; nil: it can. It must
// give numbers of now: no offset, no @, no subquery, no range above an hour, and
// no matcher of the labels by which Gantry limits it.
func CheckQuery(query string) error {
	_, err := limit(query, "any", "any")
	return err
}

// limit adds the cluster and the namespace to every selector of a query, in its
// parsed form (rule E5).
func limit(query, cluster, namespace string) (parser.Expr, error) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return nil, fmt.Errorf("the query cannot be read: %w", err)
	}
	if t := expr.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return nil, fmt.Errorf("the query gives a %s, not a number per pod or one number", t)
	}
	selectors := 0
	var refused error
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			selectors++
			refused = errors.Join(refused, limitSelector(v, cluster, namespace))
		}
		refused = errors.Join(refused, checkNode(node))
		return nil
	})
	if refused != nil {
		return nil, refused
	}
	if selectors == 0 {
		return nil, errors.New("the query looks at no series")
	}
	return expr, nil
}

func checkNode(node parser.Node) error {
	switch n := node.(type) {
	case *parser.SubqueryExpr:
		return errors.New("the query has a subquery; record it as a rule of Prometheus instead")
	case *parser.MatrixSelector:
		if n.Range > longestRange {
			return fmt.Errorf("the query looks back over %s; an hour is the most", n.Range)
		}
	}
	return nil
}

func limitSelector(v *parser.VectorSelector, cluster, namespace string) error {
	if v.OriginalOffset != 0 || v.OriginalOffsetExpr != nil || v.Timestamp != nil || v.StartOrEnd != 0 {
		return fmt.Errorf("%s: offset and @ are refused, since only what is so now may scale", v)
	}
	for _, m := range v.LabelMatchers {
		if m.Name == "namespace" || m.Name == "cluster" {
			return fmt.Errorf("%s: leave the label %s out, Gantry adds the app's own", v, m.Name)
		}
	}
	v.LabelMatchers = append(v.LabelMatchers,
		labels.MustNewMatcher(labels.MatchEqual, "cluster", cluster),
		labels.MustNewMatcher(labels.MatchEqual, "namespace", namespace))
	return nil
}
