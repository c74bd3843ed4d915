package conftext

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestQuoting(t *testing.T) {
	for value, want := range map[string]string{
		"web.example":            `server_name web.example;`,
		"":                       `server_name "";`,
		"a b":                    `server_name "a b";`,
		"x; location /etc {":     `server_name "x; location /etc {";`,
		`a"b\c`:                  `server_name "a\"b\\c";`,
		"# no comment":           `server_name "# no comment";`,
		"~^(.*)\\.example":       `server_name "~^(.*)\\.example";`,
		"unix:/run/control.sock": `server_name unix:/run/control.sock;`,
	} {
		got, err := WriteNginx([]Node{Line("server_name", value)})
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%q is written as %q, %v; want %q", value, got, err, want)
		}
	}
}

// rule I1: what cannot be quoted is refused.
func TestRefused(t *testing.T) {
	for name, n := range map[string]Node{
		"variable":      Line("return", "$host"),
		"newline":       Line("return", "a\nb"),
		"zero":          Line("return", "a\x00b"),
		"delete":        Line("return", "a\x7fb"),
		"lua brace":     LuaOf("log_by_lua_block", "return }"),
		"lua comment":   LuaOf("log_by_lua_block", "return -- # }"),
		"lua elsewhere": LuaOf("return", "x"),
		"no lua":        Line("log_by_lua_block"),
		"in a block":    BlockOf("server", nil, Line("return", "$host")),
	} {
		if got, err := WriteNginx([]Node{n}); err == nil {
			t.Errorf("%s: written as %q", name, got)
		}
	}
	for _, value := range []string{"", "a\"b", "a\nb", "$x", "a!b", "a#b", "@a", "a{", " a", "a;b"} {
		if got, err := WriteKeepalived([]Node{Line("script", value)}); err == nil {
			t.Errorf("%q is written for keepalived as %q", value, got)
		}
	}
}

func TestUnreadable(t *testing.T) {
	for _, text := range []string{"a", "a {", "}", "a; }", `a "b`, `a "b\n";`, "a 'b';", "a [b];", "x_by_lua_block;", "a { b }"} {
		if got, err := ReadNginx([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	for _, text := range []string{"a {", "}", `a "b`, "a {\n}\n}"} {
		if got, err := ReadKeepalived([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func trees(words *rapid.Generator[string], depth int) *rapid.Generator[[]Node] {
	return rapid.Custom(func(t *rapid.T) []Node {
		var nodes []Node
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			n := Node{Name: rapid.StringMatching(`[a-z_]{1,8}`).Draw(t, "name")}
			for range rapid.IntRange(0, 3).Draw(t, "args") {
				n.Args = append(n.Args, Text(words.Draw(t, "arg")))
			}
			if depth > 0 && rapid.Bool().Draw(t, "block") {
				n.Block = true
				n.Children = trees(words, depth-1).Draw(t, "children")
			}
			nodes = append(nodes, n)
		}
		return nodes
	})
}

// rule I2: what is written reads back as the same tree.
func TestReadIsTheInverseOfWrite(t *testing.T) {
	anything := rapid.StringMatching(`[ -#%-~äöü]{0,12}`)
	plain := rapid.StringMatching(`[a-z0-9./:-]{1,5}( [a-z0-9-]{1,4}){0,2}`)
	rapid.Check(t, func(t *rapid.T) {
		tree := trees(anything, 2).Draw(t, "nginx")
		text, err := WriteNginx(tree)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadNginx(text)
		if err != nil || cmp.Diff(tree, got) != "" {
			t.Fatalf("%v\n%s\n%s", err, text, cmp.Diff(tree, got))
		}
		tree = trees(plain, 2).Draw(t, "keepalived")
		if text, err = WriteKeepalived(tree); err != nil {
			t.Fatal(err)
		}
		if got, err = ReadKeepalived(text); err != nil || cmp.Diff(tree, got) != "" {
			t.Fatalf("%v\n%s\n%s", err, text, cmp.Diff(tree, got))
		}
	})
}

// rule I1: no value escapes its place, whatever its bytes.
func FuzzNginxValue(f *testing.F) {
	for _, seed := range []string{"web.example", "a;b", `"`, `\`, "{", "}", "#", "$x", "\n", "'", "a\\\";}", "\xff", " "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		text, err := WriteNginx([]Node{BlockOf("server", nil, Line("server_name", value), Line("return", "404"))})
		if err != nil {
			return
		}
		got, err := ReadNginx(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want := []Node{BlockOf("server", nil, Line("server_name", value), Line("return", "404"))}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q:\n%s", text, diff)
		}
	})
}

// The reader never panics, and what it accepts it would write again.
func FuzzReadNginx(f *testing.F) {
	f.Add("server {\n    listen 80;\n}\n")
	f.Add(`log_by_lua_block { require("x").y() }`)
	f.Fuzz(func(t *testing.T, text string) {
		nodes, err := ReadNginx([]byte(text))
		if err != nil {
			return
		}
		again, err := WriteNginx(nodes)
		if err != nil {
			return // read more kindly than written
		}
		back, err := ReadNginx(again)
		if err != nil || cmp.Diff(nodes, back) != "" {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

func TestUnknown(t *testing.T) {
	tree := []Node{BlockOf("http", nil, BlockOf("server", nil, Line("lua_code", "x")))}
	known := map[string]bool{"http": true, "server": true}
	if got := Unknown(tree, known); got != "lua_code" {
		t.Errorf("got %q", got)
	}
	if !slices.Equal(tree[0].Children[0].Children[0].Args, []Arg{Text("x")}) {
		t.Error("the tree was changed")
	}
}

// A condition is written as an operator does; the same text as a value is not.
func TestConditions(t *testing.T) {
	nodes := []Node{BlockOf("if", []Arg{Expr("($gantry_plain)")}, Line("return", "(a)"))}
	text, err := WriteNginx(nodes)
	if want := "if ($gantry_plain) {\n    return \"(a)\";\n}\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v, want %q", text, err, want)
	}
	if back, err := ReadNginx(text); err != nil || !cmp.Equal(nodes, back) {
		t.Errorf("%v, %v", back, err)
	}
	if back, err := ReadNginx([]byte("return (a);\n")); err == nil {
		t.Errorf("read %v", back)
	}
}
