package conftext

import (
	"bytes"
	"fmt"
	"strings"
)

// WriteNginx writes a tree in the language of Nginx, four spaces a level.
func WriteNginx(nodes []Node) ([]byte, error) {
	var b bytes.Buffer
	if err := writeNginx(&b, nodes, ""); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writeNginx(b *bytes.Buffer, nodes []Node, indent string) error {
	for i, n := range nodes {
		if n.Block && i > 0 {
			b.WriteByte('\n')
		}
		if err := writeNginxNode(b, n, indent); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

func writeNginxNode(b *bytes.Buffer, n Node, indent string) error {
	if isLua(n.Name) != (n.Lua != "") {
		return fmt.Errorf("only a directive of Lua holds code")
	}
	b.WriteString(indent)
	for i, a := range append([]Arg{{Text: n.Name}}, n.Args...) {
		if i > 0 {
			b.WriteByte(' ')
		}
		word, err := quoteNginx(a)
		if err != nil {
			return err
		}
		b.WriteString(word)
	}
	switch {
	case n.Lua != "":
		return writeLua(b, n.Lua)
	case !n.Block:
		b.WriteString(";\n")
		return nil
	}
	b.WriteString(" {\n")
	if err := writeNginx(b, n.Children, indent+"    "); err != nil {
		return err
	}
	b.WriteString(indent + "}\n")
	return nil
}

// writeLua takes code without anything that could end the block early.
func writeLua(b *bytes.Buffer, code string) error {
	if code != strings.TrimSpace(code) || strings.ContainsAny(code, "{}[]'\\\n#") {
		return fmt.Errorf("%q is not one plain line of Lua", code)
	}
	b.WriteString(" { " + code + " }\n")
	return nil
}

// quoteNginx gives a word that Nginx reads back as exactly a.Text.
func quoteNginx(a Arg) (string, error) {
	if err := printable(a.Text); err != nil {
		return "", err
	}
	if strings.Contains(a.Text, "$") != a.Expr {
		return "", fmt.Errorf("%q: a value must not hold \"$\"", a.Text)
	}
	if unquoted(a) {
		return a.Text, nil
	}
	if !strings.ContainsAny(a.Text, `\"`) {
		return `"` + a.Text + `"`, nil
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.Text) + `"`, nil
}

// unquoted tells whether an argument is written as it is, "($host)" too.
func unquoted(a Arg) bool {
	return bare(a.Text) || a.Expr && bare(strings.Map(word, a.Text))
}

// word leaves out what only expressions hold.
func word(r rune) rune {
	if strings.ContainsRune("$()", r) {
		return -1
	}
	return r
}

// ReadNginx reads what WriteNginx writes; it refuses constructs that
// WriteNginx never uses.
func ReadNginx(text []byte) ([]Node, error) {
	r := &nginxReader{text: string(text)}
	nodes, closed, err := r.nodes()
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", r.line(), err)
	}
	if closed {
		return nil, fmt.Errorf("line %d: unexpected \"}\"", r.line())
	}
	return nodes, nil
}

type nginxReader struct {
	text string
	pos  int
}

func (r *nginxReader) line() int { return 1 + strings.Count(r.text[:r.pos], "\n") }

// nodes reads directives up to the end or a closing brace.
func (r *nginxReader) nodes() (nodes []Node, closed bool, err error) {
	for {
		n, end, err := r.node()
		if err != nil || end != 0 {
			return nodes, end == '}', err
		}
		nodes = append(nodes, n)
	}
}

// node reads one directive; end is '}' or 'E' when there is none.
func (r *nginxReader) node() (n Node, end byte, err error) {
	var words []Arg
	for {
		word, mark, err := r.token()
		switch {
		case err != nil:
			return n, 0, err
		case mark == 0:
			words = append(words, word)
			if len(words) == 1 && isLua(word.Text) {
				n, err = r.lua(word.Text)
				return n, 0, err
			}
		case len(words) == 0 && (mark == '}' || mark == 'E'):
			return n, mark, nil
		case len(words) == 0 || mark == '}' || mark == 'E':
			return n, 0, fmt.Errorf("a directive ends with %q", mark)
		default:
			n = Node{Name: words[0].Text, Args: words[1:]}
			if len(n.Args) == 0 {
				n.Args = nil
			}
			if mark == '{' {
				n.Block = true
				n.Children, err = r.block()
			}
			return n, 0, err
		}
	}
}

func (r *nginxReader) block() ([]Node, error) {
	nodes, closed, err := r.nodes()
	if err == nil && !closed {
		err = fmt.Errorf("a block is not closed")
	}
	return nodes, err
}

// token reads a word, or one of ; { } and E at the end.
func (r *nginxReader) token() (Arg, byte, error) {
	for r.pos < len(r.text) && strings.IndexByte(" \n", r.text[r.pos]) >= 0 {
		r.pos++
	}
	if r.pos >= len(r.text) {
		return Arg{}, 'E', nil
	}
	c := r.text[r.pos]
	if strings.IndexByte(";{}", c) >= 0 {
		r.pos++
		return Arg{}, c, nil
	}
	if c == '"' {
		r.pos++
		word, err := r.quoted()
		return word, 0, err
	}
	start := r.pos
	for r.pos < len(r.text) && strings.IndexByte(" \n;{}\"", r.text[r.pos]) < 0 {
		r.pos++
	}
	word := r.text[start:r.pos]
	a := Arg{Text: word, Expr: strings.Contains(word, "$")}
	if !unquoted(a) {
		return Arg{}, 0, fmt.Errorf("%q is not a word that the writer writes", word)
	}
	return a, 0, nil
}

func (r *nginxReader) quoted() (Arg, error) {
	var b strings.Builder
	for ; r.pos < len(r.text); r.pos++ {
		switch c := r.text[r.pos]; {
		case c == '"':
			r.pos++
			return Arg{Text: b.String(), Expr: strings.Contains(b.String(), "$")}, nil
		case c == '\\' && r.pos+1 < len(r.text) && strings.IndexByte(`\"`, r.text[r.pos+1]) >= 0:
			r.pos++
			b.WriteByte(r.text[r.pos])
		case c == '\\' || c < 0x20:
			return Arg{}, fmt.Errorf("unexpected %q in a quoted word", c)
		default:
			b.WriteByte(c)
		}
	}
	return Arg{}, fmt.Errorf("a quoted word is not closed")
}

func (r *nginxReader) lua(name string) (Node, error) {
	rest := r.text[r.pos:]
	end := strings.IndexByte(rest, '}')
	if end < 0 || !strings.HasPrefix(rest, " {") {
		return Node{}, fmt.Errorf("%s is not a block", name)
	}
	r.pos += end + 1
	return LuaOf(name, strings.TrimSpace(rest[2:end])), nil
}
