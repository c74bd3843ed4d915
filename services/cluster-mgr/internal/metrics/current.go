package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// current leaves old samples out of a query, in its parsed form: a Prometheus
// before 2.43 ignores the lookback of a query and takes what is five minutes old
// for what is now (rule A2).
//
//   - Of a selector, the series whose newest sample is younger than age count.
//   - What is computed over a range keeps its range. Where the answer is per pod,
//     the series with a young sample count; where it is a total, all do as soon as
//     one is young, since the range of a total speaks of ended pods, too.
//   - absent and absent_over_time stay: to them, what is old is not absent yet.
func current(expr parser.Expr, age time.Duration) parser.Expr {
	return youth{age: age}.of(expr)
}

// youth is how old a sample may be, and whether the labels of the pods are lost
// further out in the query.
type youth struct {
	age   time.Duration
	total bool
}

func (y youth) of(expr parser.Expr) parser.Expr {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		return y.selected(e)
	case *parser.Call:
		return y.called(e)
	case *parser.AggregateExpr:
		inner := youth{age: y.age, total: y.total || losesPods(e)}
		e.Expr = inner.of(e.Expr)
		if e.Param != nil {
			e.Param = inner.of(e.Param)
		}
	case *parser.BinaryExpr:
		e.LHS, e.RHS = y.of(e.LHS), y.of(e.RHS)
	case *parser.ParenExpr:
		e.Expr = y.of(e.Expr)
	case *parser.UnaryExpr:
		e.Expr = y.of(e.Expr)
	}
	return expr
}

// selected is the selector without its old series. Names by a pattern may give
// series that differ in nothing else, which timestamp refuses.
func (y youth) selected(v *parser.VectorSelector) parser.Expr {
	if !named(v) {
		return y.last(v)
	}
	return both(v, &parser.VectorMatching{Card: parser.CardManyToMany}, y.young(v))
}

func (y youth) called(c *parser.Call) parser.Expr {
	switch c.Func.Name {
	case "absent", "absent_over_time":
		return c
	case "timestamp":
		// Of anything but a selector it would tell the time of the question.
		if v, ok := inner(c.Args[0]).(*parser.VectorSelector); ok {
			return y.computed(c, v)
		}
	}
	for i, arg := range c.Args {
		if m, ok := inner(arg).(*parser.MatrixSelector); ok {
			return y.computed(c, m.VectorSelector.(*parser.VectorSelector))
		}
		c.Args[i] = y.of(arg)
	}
	return c
}

// computed is what a function makes of the series of a selector, if they are young.
func (y youth) computed(c *parser.Call, v *parser.VectorSelector) parser.Expr {
	if y.total || !named(v) {
		return both(c, &parser.VectorMatching{Card: parser.CardManyToMany, On: true}, y.last(v))
	}
	return both(c, &parser.VectorMatching{Card: parser.CardManyToMany}, y.young(v))
}

// young is timestamp(v) > time() - age.
func (y youth) young(v *parser.VectorSelector) parser.Expr {
	return &parser.BinaryExpr{
		Op:  parser.GTR,
		LHS: call("timestamp", v),
		RHS: &parser.BinaryExpr{Op: parser.SUB, LHS: call("time"), RHS: &parser.NumberLiteral{Val: y.age.Seconds()}},
	}
}

// last is last_over_time(v[age]).
func (y youth) last(v *parser.VectorSelector) parser.Expr {
	return call("last_over_time", &parser.MatrixSelector{VectorSelector: v, Range: y.age})
}

func call(function string, args ...parser.Expr) *parser.Call {
	return &parser.Call{Func: parser.Functions[function], Args: args}
}

func both(value parser.Expr, on *parser.VectorMatching, also parser.Expr) parser.Expr {
	return &parser.ParenExpr{Expr: &parser.BinaryExpr{Op: parser.LAND, LHS: value, RHS: also, VectorMatching: on}}
}

// named is whether all series of a selector have one name.
func named(v *parser.VectorSelector) bool {
	return slices.ContainsFunc(v.LabelMatchers, func(m *labels.Matcher) bool {
		return m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual
	})
}

// losesPods is whether an aggregation leaves no series per pod.
func losesPods(a *parser.AggregateExpr) bool {
	switch a.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		return false
	}
	return slices.Contains(a.Grouping, "pod") == a.Without
}

func inner(e parser.Expr) parser.Expr {
	for {
		p, ok := e.(*parser.ParenExpr)
		if !ok {
			return e
		}
		e = p.Expr
	}
}
