// Package nginximport reads an existing Nginx file into routes. What fits is
// converted, what does not is listed with its line and the reason: each
// directive of the file is the one or the other.
package nginximport

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gantry.dev/pkg/fault"
	gantryv1 "gantry.dev/proto/gen/gantry/v1"
	"github.com/tufanbarisyildirim/gonginx/config"
	"github.com/tufanbarisyildirim/gonginx/parser"
)

// MaxBytes bounds a file.
const MaxBytes = 4 << 20

// Options say what a file cannot.
type Options struct {
	// Project and gateway of the routes: "pay", "main".
	Project, Gateway string
	// Apps with port, "web:8080", by the name that proxy_pass gives. A name
	// that is not there is that of the app.
	Apps map[string]string
	// Secret with the certificate of servers that have one; empty: they are
	// converted without TLS, and listed.
	Secret string
}

// A Line is a directive that was not converted, or means something else now.
type Line struct {
	File string
	// From 1.
	Line int
	// The directive as far as its block: "auth_basic secret".
	Text   string
	Reason string
}

func (l Line) String() string { return fmt.Sprintf("%s:%d: %s: %s", l.File, l.Line, l.Text, l.Reason) }

// Result is what a file gives.
type Result struct {
	// In the order of the file; names are full ones.
	Routes []*gantryv1.Route
	// In the order of the file.
	Left []Line
	// How many directives the file has, and how many were converted.
	Directives, Converted int
}

// Read converts a file. NGINX_FILE_INVALID when it cannot be parsed.
func Read(file string, text []byte, o Options) (result Result, err error) {
	if len(text) > MaxBytes {
		return Result{}, fault.Invalid("NGINX_FILE_INVALID", "%s has more than %d bytes", file, MaxBytes)
	}
	defer func() {
		if p := recover(); p != nil { // the parser's, on a broken file
			err = fault.Invalid("NGINX_FILE_INVALID", "%s cannot be read as an Nginx file: %v", file, p)
		}
	}()
	if err := balanced(string(text)); err != nil {
		return Result{}, fault.Invalid("NGINX_FILE_INVALID", "%s: %w", file, err)
	}
	parsed, err := parser.NewStringParser(string(text), parser.WithSkipValidDirectivesErr(), parser.WithSkipComments()).Parse()
	if err != nil {
		return Result{}, fault.Invalid("NGINX_FILE_INVALID", "%s cannot be read as an Nginx file: %w", file, err)
	}
	r := &reader{file: file, lines: strings.Split(string(text), "\n"), options: o, ports: map[string]string{}, done: map[config.IDirective]bool{}, names: map[string]bool{}}
	for d := range every(parsed.GetDirectives()) {
		r.result.Directives++
		if d.GetName() == "upstream" {
			r.upstream(d)
		}
	}
	r.level(parsed.GetDirectives(), settings{})
	r.leaveRest(parsed.GetDirectives(), "it has no counterpart in a route")
	slices.SortStableFunc(r.result.Left, func(a, b Line) int { return cmp.Compare(a.Line, b.Line) })
	r.result.Converted = len(r.done) - r.left
	return r.result, nil
}

// reader is one file being read.
type reader struct {
	file    string
	lines   []string
	options Options
	// Port of the servers of an upstream, "8080"; empty: they differ.
	ports map[string]string
	// Directives that have been converted or listed.
	done  map[config.IDirective]bool
	left  int
	names map[string]bool
	// What was read so far.
	result Result
}

// every gives directives with all that is in their blocks.
func every(all []config.IDirective) func(func(config.IDirective) bool) {
	return func(yield func(config.IDirective) bool) { walk(all, yield) }
}

func walk(all []config.IDirective, yield func(config.IDirective) bool) bool {
	for _, d := range all {
		if !yield(d) {
			return false
		}
		if b := d.GetBlock(); b != nil && !walk(b.GetDirectives(), yield) {
			return false
		}
	}
	return true
}

func (r *reader) take(d config.IDirective) { r.done[d] = true }

// leave lists a directive.
func (r *reader) leave(d config.IDirective, reason string) {
	if r.done[d] {
		return
	}
	r.done[d] = true
	r.left++
	r.note(d, reason)
}

// note lists a directive that was converted, but means something else now.
func (r *reader) note(d config.IDirective, reason string) {
	text := strings.TrimSpace(d.GetName() + " " + strings.Join(words(d), " "))
	r.result.Left = append(r.result.Left, Line{File: r.file, Line: r.start(d), Text: text, Reason: reason})
}

// leaveRest lists what nobody has converted.
func (r *reader) leaveRest(all []config.IDirective, reason string) {
	for d := range every(all) {
		r.leave(d, reason)
	}
}

// leaveAll lists a block with all that is in it.
func (r *reader) leaveAll(d config.IDirective, reason string) {
	r.leave(d, reason)
	r.leaveRest(d.GetBlock().GetDirectives(), reason)
}

func words(d config.IDirective) []string {
	var out []string
	for _, p := range d.GetParameters() {
		out = append(out, unquote(p.GetValue()))
	}
	return out
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// upstream remembers on which port its servers listen. The addresses are the
// platform's business.
func (r *reader) upstream(d config.IDirective) {
	if len(words(d)) == 0 || d.GetBlock() == nil {
		return
	}
	name, ports := words(d)[0], map[string]bool{}
	r.take(d)
	for _, s := range d.GetBlock().GetDirectives() {
		if s.GetName() != "server" || len(words(s)) != 1 {
			r.leave(s, "the platform knows the pods and how to choose one")
			continue
		}
		r.take(s)
		_, port, _ := strings.Cut(words(s)[0], ":")
		ports[cmp.Or(port, "80")] = true
	}
	if len(ports) == 1 {
		for port := range ports {
			r.ports[name] = port
		}
	}
}

// level reads what stands outside of servers.
func (r *reader) level(all []config.IDirective, s settings) {
	if reason := blocked(all); reason != "" {
		r.leaveRest(all, reason)
		return
	}
	s = r.inherit(all, s)
	for _, d := range all {
		if d.GetBlock() == nil {
			continue
		}
		switch d.GetName() {
		case "http":
			r.take(d)
			r.level(d.GetBlock().GetDirectives(), s)
		case "server":
			r.server(d, s)
		}
	}
}
