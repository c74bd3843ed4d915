// Package conftext writes and reads the configuration languages of Nginx and
// Keepalived as trees of directives. No text reaches a file but through the
// writer, which quotes what is not a plain word and refuses what cannot be
// quoted (rule I1); the reader gives back the tree that was written (rule I2).
package conftext

import (
	"fmt"
	"strconv"
	"strings"
)

// A Node is one directive: name, arguments and, for a block, its children.
type Node struct {
	Name string
	Args []Arg
	// A block: `name args { children }`.
	Block    bool
	Children []Node
	// Code of a *_by_lua_block directive; a constant of ours, never a value.
	Lua string
}

// An Arg is one argument. Make it with Text, Int or Expr.
type Arg struct {
	Text string
	// Holds Nginx variables ("$host"); only constants of ours do.
	Expr bool
}

// Text is a value from outside; "$" in it is refused by the writer.
func Text(s string) Arg { return Arg{Text: s} }

// Expr is a constant of the program that holds Nginx variables.
func Expr(s string) Arg { return Arg{Text: s, Expr: true} }

// Int is a number.
func Int(n int) Arg { return Arg{Text: strconv.Itoa(n)} }

// Line is a simple directive with plain arguments.
func Line(name string, args ...string) Node {
	n := Node{Name: name}
	for _, a := range args {
		n.Args = append(n.Args, Text(a))
	}
	return n
}

// LineOf is a simple directive with any arguments.
func LineOf(name string, args ...Arg) Node { return Node{Name: name, Args: args} }

// BlockOf is a block directive.
func BlockOf(name string, args []Arg, children ...Node) Node {
	return Node{Name: name, Args: args, Block: true, Children: children}
}

// LuaOf is a *_by_lua_block directive; code holds no braces.
func LuaOf(name, code string) Node { return Node{Name: name, Lua: code} }

// Find gives the first child of this name.
func (n Node) Find(name string) (Node, bool) {
	for _, c := range n.Children {
		if c.Name == name {
			return c, true
		}
	}
	return Node{}, false
}

// Arg gives an argument's text; empty when there are not so many.
func (n Node) Arg(i int) string {
	if i >= len(n.Args) {
		return ""
	}
	return n.Args[i].Text
}

// Unknown names the first directive that known does not hold, children
// included; empty when all are known (rule I2). Entries of a map block are
// values, not directives.
func Unknown(nodes []Node, known map[string]bool) string {
	for _, n := range nodes {
		if !known[n.Name] {
			return n.Name
		}
		if n.Name == "map" {
			continue
		}
		if name := Unknown(n.Children, known); name != "" {
			return name
		}
	}
	return ""
}

func isLua(name string) bool { return strings.HasSuffix(name, "_by_lua_block") }

// bare tells whether a word needs no quotes in either language.
func bare(s string) bool {
	for _, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("_./:~=-", r) {
			return false
		}
	}
	return s != ""
}

// printable refuses what no configuration value of ours holds.
func printable(s string) error {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return fmt.Errorf("%q holds a control character", s)
		}
	}
	return nil
}
