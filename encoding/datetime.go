package encoding

import (
	"math"
	"time"
)

// datetimeLen is the length of the canonical text of a datetime in the years 0
// to 9999; other years take three bytes more.
const datetimeLen = 27

// The years of the first and the last datetime:
// -290308-12-21T19:59:05.224192Z and +294247-01-10T04:00:54.775807Z.
const (
	minYear = -290308
	maxYear = 294247
)

// appendDatetime appends the canonical text of the instant us microseconds
// after the epoch.
func appendDatetime(dst []byte, us int64) []byte {
	t := time.UnixMicro(us).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	switch {
	case year > 9999:
		dst = appendPadded(append(dst, '+'), year, 6)
	case year < 0:
		dst = appendPadded(append(dst, '-'), -year, 6)
	default:
		dst = appendPadded(dst, year, 4)
	}
	dst = appendPadded(append(dst, '-'), int(month), 2)
	dst = appendPadded(append(dst, '-'), day, 2)
	dst = appendPadded(append(dst, 'T'), hour, 2)
	dst = appendPadded(append(dst, ':'), minute, 2)
	dst = appendPadded(append(dst, ':'), second, 2)
	dst = appendPadded(append(dst, '.'), t.Nanosecond()/1000, 6)
	return append(dst, 'Z')
}

// appendPadded appends n, which is not negative, with width digits.
func appendPadded(dst []byte, n, width int) []byte {
	for i := 0; i < width; i++ {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; n > 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

// parseDatetime reads the text of an instant in the forms of RFC 3339, with T
// or a blank between date and time, any number of digits of a second (those
// behind the sixth are cut off) or none, and Z or a UTC offset as +HH:MM, +HHMM
// or +HH. The year has four digits, or a sign and six as in ECMAScript. A
// leap second, which has no number of its own, is an error.
func parseDatetime(s []byte) (int64, state, string) {
	p := datetimeParser{rest: s}
	year := p.year()
	p.oneOf("-")
	month := p.number(2, 1, 12, "no such month")
	p.oneOf("-")
	day := p.number(2, 1, 31, "no such day")
	p.date(year, month, day)
	p.oneOf("Tt ")
	hour := p.number(2, 0, 23, "no such hour")
	p.oneOf(":")
	minute := p.number(2, 0, 59, "no such minute")
	p.oneOf(":")
	second := p.number(2, 0, 59, "no such second")
	micro := p.fraction()
	offset := p.offset()
	if p.st != stateOK {
		return 0, p.st, p.reason
	}
	sec := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).Unix()
	us, ok := microseconds(sec-int64(offset), int64(micro))
	if ok {
		return us, stateOK, ""
	}
	if p.extensible {
		return 0, stateRangePartial, reasonDatetimeRange
	}
	return 0, stateRange, reasonDatetimeRange
}

// microseconds returns sec seconds and us microseconds, 0 <= us < 1e6, as
// microseconds, and whether they fit.
func microseconds(sec, us int64) (int64, bool) {
	if sec < 0 {
		// The first second of the range begins before the range does.
		sec++
		us -= 1e6
	}
	const limit = math.MaxInt64 / 1_000_000
	if sec < -limit || sec > limit {
		return 0, false
	}
	sum := sec*1e6 + us
	if us >= 0 && sum < sec*1e6 || us < 0 && sum > sec*1e6 {
		return 0, false
	}
	return sum, true
}

// datetimeParser consumes a datetime from the left. Once st is not stateOK,
// every method does nothing.
type datetimeParser struct {
	rest   []byte
	st     state
	reason string
	// extensible says that the text may go on although it is complete.
	extensible bool
}

// Reasons that more than one step gives.
const (
	wantDatetime        = "want the form 2024-01-02T03:04:05.000006Z"
	reasonDatetimeRange = "the first datetime is in the year -290308, the last in +294247"
)

func (p *datetimeParser) fail(st state, reason string) {
	if p.st == stateOK {
		p.st, p.reason = st, reason
	}
}

// oneOf consumes one of these bytes and returns it.
func (p *datetimeParser) oneOf(set string) byte {
	if p.st != stateOK {
		return 0
	}
	if len(p.rest) == 0 {
		p.fail(statePartial, wantDatetime)
		return 0
	}
	c := p.rest[0]
	for i := 0; i < len(set); i++ {
		if set[i] == c {
			p.rest = p.rest[1:]
			return c
		}
	}
	p.fail(stateSyntax, wantDatetime)
	return 0
}

// number consumes a number of exactly width digits between lo and hi.
func (p *datetimeParser) number(width, lo, hi int, reason string) int {
	if p.st != stateOK {
		return 0
	}
	n, digits := 0, 0
	for digits < width && digits < len(p.rest) && isDigit(p.rest[digits]) {
		n = n*10 + int(p.rest[digits]-'0')
		digits++
	}
	if digits == width {
		p.rest = p.rest[width:]
		if n < lo || n > hi {
			p.fail(stateSyntax, reason)
		}
		return n
	}
	if digits < len(p.rest) {
		p.fail(stateSyntax, wantDatetime)
		return 0
	}
	// The digits to come make a number between first and last.
	first, last := n, n
	for ; digits < width; digits++ {
		first, last = first*10, last*10+9
	}
	if last < lo || first > hi {
		p.fail(stateSyntax, reason)
	}
	p.fail(statePartial, wantDatetime)
	return 0
}

// year consumes the year.
func (p *datetimeParser) year() int {
	const reason = "no such year"
	if len(p.rest) == 0 || p.rest[0] != '-' && p.rest[0] != '+' {
		return p.number(4, 0, 9999, reason)
	}
	if p.oneOf("-+") == '-' {
		return -p.number(6, 1, 999999, reason)
	}
	return p.number(6, 0, 999999, reason)
}

// date checks that the date exists.
func (p *datetimeParser) date(year, month, day int) {
	if p.st != stateOK {
		return
	}
	if time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Day() != day {
		p.fail(stateSyntax, "no such day in that month")
	}
	// A UTC offset moves an instant by less than a day, and the range begins
	// and ends further from New Year.
	if year < minYear || year > maxYear {
		p.fail(stateRange, reasonDatetimeRange)
	}
}

// fraction consumes an optional fraction of a second and returns it in whole
// microseconds.
func (p *datetimeParser) fraction() int {
	if p.st != stateOK || len(p.rest) == 0 || p.rest[0] != '.' {
		return 0
	}
	p.rest = p.rest[1:]
	n := countDigits(p.rest)
	if n == 0 {
		if len(p.rest) > 0 {
			p.fail(stateSyntax, wantDatetime)
		}
		p.fail(statePartial, wantDatetime)
		return 0
	}
	us := 0
	for i := range 6 {
		us *= 10
		if i < n {
			us += int(p.rest[i] - '0')
		}
	}
	p.rest = p.rest[n:]
	return us
}

// offset consumes Z or a UTC offset, which must end the text, and returns it
// in seconds.
func (p *datetimeParser) offset() int {
	if p.st == stateOK && len(p.rest) == 0 {
		p.fail(statePartial, "it has no UTC offset: add Z for UTC")
	}
	sign := 1
	switch p.oneOf("Zz+-") {
	case '-':
		sign = -1
	case '+':
	default: // Z, or an error before
		p.end()
		return 0
	}
	hour := p.number(2, 0, 23, "no such UTC offset")
	if p.st == stateOK && len(p.rest) == 0 {
		p.extensible = true
		return sign * hour * 3600
	}
	if p.st == stateOK && p.rest[0] == ':' {
		p.rest = p.rest[1:]
	}
	minute := p.number(2, 0, 59, "no such UTC offset")
	p.end()
	return sign * (hour*3600 + minute*60)
}

// end fails if something is left.
func (p *datetimeParser) end() {
	if p.st == stateOK && len(p.rest) > 0 {
		p.fail(stateSyntax, wantDatetime)
	}
}
