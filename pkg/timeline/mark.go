package timeline

import "time"

// Mark knows where a source that is read again goes on, so that nothing is
// read twice and nothing left out, also when several entries have one time.
// Its zero value has seen nothing.
type Mark struct {
	last    time.Time
	count   int // entries with just that time
	resumed time.Time
	skip    int // those of them that come again
}

// Last is the time of the last entry; zero before the first.
func (m *Mark) Last() time.Time { return m.last }

// Resume says that the source is read again from Last or before.
func (m *Mark) Resume() { m.resumed, m.skip = m.last, m.count }

// New tells whether an entry has not been read before.
func (m *Mark) New(at time.Time) bool {
	if at.Before(m.resumed) {
		return false
	}
	if m.skip > 0 && at.Equal(m.resumed) {
		m.skip--
		return false
	}
	if !at.Equal(m.last) {
		m.last, m.count = at, 0
	}
	m.count++
	return true
}
