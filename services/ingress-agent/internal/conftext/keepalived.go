package conftext

import (
	"bytes"
	"fmt"
	"strings"
)

// WriteKeepalived writes a tree in the language of Keepalived, which is read
// line by line and has no escapes: a word is plain, or plain words and spaces
// in quotes; anything else is refused.
func WriteKeepalived(nodes []Node) ([]byte, error) {
	var b bytes.Buffer
	if err := writeKeepalived(&b, nodes, ""); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writeKeepalived(b *bytes.Buffer, nodes []Node, indent string) error {
	for i, n := range nodes {
		if n.Block && indent == "" && i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(indent)
		for j, a := range append([]Arg{{Text: n.Name}}, n.Args...) {
			if j > 0 {
				b.WriteByte(' ')
			}
			word, err := quoteKeepalived(a)
			if err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			b.WriteString(word)
		}
		if !n.Block {
			b.WriteByte('\n')
			continue
		}
		b.WriteString(" {\n")
		if err := writeKeepalived(b, n.Children, indent+"    "); err != nil {
			return err
		}
		b.WriteString(indent + "}\n")
	}
	return nil
}

func quoteKeepalived(a Arg) (string, error) {
	switch {
	case a.Expr || !bare(strings.ReplaceAll(a.Text, " ", "")):
		return "", fmt.Errorf("%q cannot be written for Keepalived", a.Text)
	case strings.Contains(a.Text, " ") && a.Text != strings.TrimSpace(a.Text):
		return "", fmt.Errorf("%q begins or ends with a space", a.Text)
	case strings.Contains(a.Text, " "):
		return `"` + a.Text + `"`, nil
	}
	return a.Text, nil
}

// ReadKeepalived reads what WriteKeepalived writes.
func ReadKeepalived(text []byte) ([]Node, error) {
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	nodes, rest, err := readKeepalived(lines)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("unexpected %q", rest[0])
	}
	return nodes, nil
}

// readKeepalived reads up to a closing brace, which it leaves.
func readKeepalived(lines []string) (nodes []Node, rest []string, err error) {
	for len(lines) > 0 {
		line := strings.TrimSpace(lines[0])
		if line == "}" {
			return nodes, lines, nil
		}
		lines = lines[1:]
		if line == "" {
			continue
		}
		n, err := keepalivedLine(line)
		if err != nil {
			return nil, nil, err
		}
		if n.Block {
			n.Children, lines, err = readKeepalived(lines)
			if err != nil {
				return nil, nil, err
			}
			if len(lines) == 0 {
				return nil, nil, fmt.Errorf("%s is not closed", n.Name)
			}
			lines = lines[1:]
		}
		nodes = append(nodes, n)
	}
	return nodes, nil, nil
}

func keepalivedLine(line string) (Node, error) {
	line, block := strings.CutSuffix(line, " {")
	n := Node{Block: block}
	for i, part := range strings.Split(line, `"`) {
		words := []string{part}
		if i%2 == 0 {
			words = strings.Fields(part)
		}
		for _, w := range words {
			n.Args = append(n.Args, Text(w))
		}
	}
	if strings.Count(line, `"`)%2 != 0 || len(n.Args) == 0 {
		return n, fmt.Errorf("cannot read %q", line)
	}
	n.Name, n.Args = n.Args[0].Text, n.Args[1:]
	if len(n.Args) == 0 {
		n.Args = nil
	}
	return n, nil
}
