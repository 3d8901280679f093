package encoding

import (
	"bufio"
	"io"
	"sort"
	"unicode/utf8"
)

// jsonSource is the reader that a json.Decoder reads JSON through. It stops at
// text that encoding/json would change without a word, namely strings that are
// not valid UTF-8 and escapes of half a surrogate pair, which both become
// U+FFFD there, and it knows the line of each offset.
type jsonSource struct {
	r *bufio.Reader

	// perLine makes each line end the input, until nextLine.
	perLine bool
	ended   bool

	// passed returns the offset up to which the decoder is done.
	passed func() int64
	start  int64 // offset in r of the decoder's first byte
	offset int64 // of the next byte for the decoder, from start
	// newlines are the offsets of the newlines behind lineOffset, ascending,
	// and line is the number of the line there.
	newlines []int64
	line     int

	carry []byte // the first bytes of a character that a read cut in two
	scan  stringScan
	err   error // what to return when everything before it is read
}

// newJSONSource returns a source that reads size bytes at a time. A byte order
// mark at the start is skipped.
func newJSONSource(r io.Reader, size int, perLine bool) *jsonSource {
	const mark = "\uFEFF"
	s := &jsonSource{
		r:       bufio.NewReaderSize(r, size),
		perLine: perLine,
		passed:  func() int64 { return 0 },
		line:    1,
	}
	// An error comes back at the first read.
	if b, _ := s.r.Peek(len(mark)); string(b) == mark {
		n, _ := s.r.Discard(len(mark))
		s.start = int64(n)
	}
	return s
}

// nextLine goes to the next line that is not blank and reports whether there
// is one. The decoder of the line before must have read its end.
func (s *jsonSource) nextLine() (bool, error) {
	s.start += s.offset
	s.offset, s.newlines, s.ended = 0, nil, false
	for {
		c, err := s.r.ReadByte()
		switch {
		case err == io.EOF:
			return false, nil
		case err != nil:
			return false, err
		case c == '\n':
			s.line++
			s.start++
		case c == ' ' || c == '\t' || c == '\r':
			s.start++
		default:
			return true, s.r.UnreadByte()
		}
	}
}

// Read implements io.Reader.
func (s *jsonSource) Read(p []byte) (int, error) {
	s.forget()
	n := copy(p, s.carry)
	s.carry = s.carry[:0]
	good := 0
	for good == 0 && s.err == nil && !s.ended {
		m, err := s.fill(p[n:])
		n += m
		s.err = err
		var fault string
		if good, fault = s.scan.check(p[:n]); fault != "" {
			n, s.err = good, textFault(fault)
		}
	}
	if s.err == nil && !s.ended {
		// The character waits for its other bytes.
		s.carry = append(s.carry, p[good:n]...)
		n = good
	}
	s.note(p[:n])
	s.offset += int64(n)
	switch {
	case n > 0:
		return n, nil
	case s.ended:
		return 0, io.EOF
	}
	return 0, s.err
}

// fill reads into p what the source has next, not beyond the line if perLine.
func (s *jsonSource) fill(p []byte) (int, error) {
	if !s.perLine {
		return s.r.Read(p)
	}
	// At least one byte, to fill the buffer.
	if _, err := s.r.Peek(1); err != nil {
		return 0, err
	}
	b, _ := s.r.Peek(min(len(p), s.r.Buffered()))
	for i, c := range b {
		if c == '\n' {
			s.ended = true
			b = b[:i]
			break
		}
	}
	n := copy(p, b)
	_, err := s.r.Discard(n)
	return n, err
}

// note records the newlines in what the decoder gets.
func (s *jsonSource) note(b []byte) {
	for i, c := range b {
		if c == '\n' {
			s.newlines = append(s.newlines, s.offset+int64(i))
		}
	}
}

// forget drops the newlines that the decoder has passed, so that no more are
// held than its buffer has.
func (s *jsonSource) forget() {
	n := s.before(s.passed())
	s.line += n
	s.newlines = append(s.newlines[:0], s.newlines[n:]...)
}

// before returns the number of newlines before an offset.
func (s *jsonSource) before(offset int64) int {
	return sort.Search(len(s.newlines), func(i int) bool { return s.newlines[i] >= offset })
}

// position returns the line and the offset in the whole input of an offset of
// the decoder that it has not passed long since.
func (s *jsonSource) position(offset int64) (line int, whole int64) {
	return s.line + s.before(offset), s.start + offset
}

// textFault is the error of text that is no JSON.
type textFault string

func (f textFault) Error() string { return string(f) }

// stringScan follows JSON text just so far as to check its strings.
type stringScan struct {
	state scanState
	// high says that the first half of a surrogate pair was escaped, and that
	// the escape of the second must come.
	high  bool
	digit int  // of an escape
	code  rune // of an escape, as far as read
}

type scanState uint8

const (
	scanOutside scanState = iota
	scanString
	scanEscape // behind a backslash
	scanCode   // behind \u
)

// The faults that check finds.
const (
	faultUTF8      = "a string is not valid UTF-8"
	faultSurrogate = "a string has half of a surrogate pair"
)

// check returns how much of b is good: all of it, or up to a fault, or up to a
// character at the end that more bytes may complete.
func (s *stringScan) check(b []byte) (good int, fault string) {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if s.state == scanOutside {
			if c == '"' {
				s.state = scanString
			}
			continue
		}
		if s.high && (s.state == scanString && c != '\\' || s.state == scanEscape && c != 'u') {
			return i, faultSurrogate
		}
		switch s.state {
		case scanString:
			switch {
			case c == '"':
				s.state = scanOutside
			case c == '\\':
				s.state = scanEscape
			case c >= utf8.RuneSelf:
				r, size := utf8.DecodeRune(b[i:])
				if r == utf8.RuneError && size == 1 {
					if !utf8.FullRune(b[i:]) {
						return i, ""
					}
					return i, faultUTF8
				}
				i += size - 1
			}
		case scanEscape:
			s.state = scanString
			if c == 'u' {
				s.state, s.digit, s.code = scanCode, 0, 0
			}
		case scanCode:
			d, ok := hexDigit(c)
			if !ok {
				// The decoder says that this is no escape.
				s.state, s.high = scanString, false
				i--
				continue
			}
			s.code = s.code<<4 | rune(d)
			if s.digit++; s.digit < 4 {
				continue
			}
			s.state = scanString
			low := s.code >= 0xDC00 && s.code < 0xE000
			if s.high != low {
				return i, faultSurrogate
			}
			s.high = s.code >= 0xD800 && s.code < 0xDC00
		}
	}
	return len(b), ""
}
