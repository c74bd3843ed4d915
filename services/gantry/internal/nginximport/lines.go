package nginximport

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/tufanbarisyildirim/gonginx/config"
)

// start is the line that a directive begins in: the parser knows where it ends.
func (r *reader) start(d config.IDirective) int {
	last := d.GetLine()
	if b := d.GetBlock(); b != nil && len(b.GetDirectives()) > 0 {
		last = r.start(b.GetDirectives()[0])
	}
	name := regexp.MustCompile(`(^|[\s{};])["']?` + regexp.QuoteMeta(unquote(d.GetName())) + `["']?([\s{};]|$)`)
	for line := min(last, len(r.lines)); line > 0; line-- {
		if name.MatchString(r.lines[line-1]) {
			return line
		}
	}
	return last
}

// balanced refuses a file with a brace too many, at which the parser would
// stop reading without a word.
func balanced(text string) error {
	depth, line, quote, word := 0, 1, rune(0), false
	escaped, comment := false, false
	for _, c := range text {
		if c == '\n' {
			line++
			comment = false
		}
		switch {
		case comment:
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && !word:
			quote = c
		case c == '#' && !word:
			comment = true
		case c == '{':
			depth++
		case c == '}':
			depth--
		}
		word = quote == 0 && !strings.ContainsRune(" \t\r\n;{}", c)
		if depth < 0 {
			return fmt.Errorf("line %d has a } too many", line)
		}
		if c == 0 {
			return fmt.Errorf("line %d holds a zero byte", line)
		}
	}
	if depth > 0 || quote != 0 {
		return errors.New("it ends inside a block or a quotation")
	}
	return nil
}
