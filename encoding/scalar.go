package encoding

import (
	"bytes"
	"math"
	"strconv"

	"github.com/google/uuid"
)

// state is what a parser of scalar text found. The parsers take text without
// blanks around it and accept each form that a declared type accepts.
type state uint8

const (
	stateOK      state = iota // a value
	statePartial              // not a value, but more text can make it one
	stateSyntax               // not a value whatever follows
	stateRange                // beyond the range whatever follows
	stateRangePartial
	// stateRangePartial is a value beyond the range that more text can bring
	// back, such as an exponent or the minutes of a UTC offset.
)

// Reasons that several parsers give.
const (
	reasonIncomplete = "it is incomplete"
	reasonNotDigit   = "it has a character that is not a digit"
)

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// parseBool reads true or false in any case.
func parseBool(s []byte) (bool, state, string) {
	for _, word := range [...]string{"true", "false"} {
		if len(s) > len(word) || !hasFoldPrefix(word, s) {
			continue
		}
		if len(s) < len(word) {
			return false, statePartial, "want true or false"
		}
		return word == "true", stateOK, ""
	}
	return false, stateSyntax, "want true or false"
}

// hasFoldPrefix reports whether word, in lower case, begins with s in any case.
func hasFoldPrefix(word string, s []byte) bool {
	if len(s) > len(word) {
		return false
	}
	for i, c := range s {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// parseInt reads a decimal with an optional sign. Leading zeros are accepted
// and mean nothing.
func parseInt(s []byte) (int64, state, string) {
	digits := s
	negative := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		digits = s[1:]
	}
	if len(digits) == 0 {
		return 0, statePartial, "it has no digits"
	}
	limit := uint64(math.MaxInt64)
	if negative {
		limit++
	}
	var u uint64
	overflow := false
	for _, c := range digits {
		if !isDigit(c) {
			return 0, stateSyntax, reasonNotDigit
		}
		d := uint64(c - '0')
		if u > (limit-d)/10 {
			overflow = true
			continue
		}
		u = u*10 + d
	}
	if overflow {
		return 0, stateRange, "it does not fit 64 bits"
	}
	if negative {
		return int64(-u), stateOK, ""
	}
	return int64(u), stateOK, ""
}

// nanBits is the NaN whose text is nan: what math.NaN and strconv return.
const nanBits = 0x7FF8000000000001

// appendFloat appends the canonical text of f.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case f != f:
		dst = append(dst, "nan"...)
		if b := math.Float64bits(f); b != nanBits {
			dst = append(dst, "(0x"...)
			dst = strconv.AppendUint(dst, b, 16)
			dst = append(dst, ')')
		}
		return dst
	}
	// The thresholds are those of Python, where no digit shown is made up.
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if bytes.IndexByte(dst[start:], '.') < 0 {
		dst = append(dst, ".0"...)
	}
	return dst
}

// parseFloat reads a decimal with optional sign, fraction and exponent, or
// inf, infinity or nan in any case and with optional sign, or nan(0x…) with
// the 16 digits of a NaN's bits. Text between two float64 values is rounded to
// the nearest, to 0 too; text beyond the largest is out of range.
func parseFloat(s []byte) (float64, state, string) {
	rest := s
	if len(rest) > 0 && (rest[0] == '-' || rest[0] == '+') {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return 0, statePartial, "it has no digits"
	}
	if c := rest[0] | 0x20; c == 'i' || c == 'n' {
		return parseFloatName(s, rest)
	}
	st, growing := scanDecimal(rest)
	if st != stateOK {
		if st == statePartial {
			return 0, st, reasonIncomplete
		}
		return 0, st, "it is not a decimal number"
	}
	f, err := strconv.ParseFloat(string(s), 64)
	if err == nil {
		return f, stateOK, ""
	}
	// The syntax is good, so the range is not.
	st = stateRangePartial
	if growing {
		st = stateRange
	}
	return 0, st, "it does not fit a 64-bit float"
}

// scanDecimal checks digits [. digits] [e [sign] digits], where one of the two
// runs of digits may be missing. growing says that it has an exponent without
// minus, so that more digits cannot bring it back into range.
func scanDecimal(s []byte) (st state, growing bool) {
	i := countDigits(s)
	mantissa := i
	if i < len(s) && s[i] == '.' {
		n := countDigits(s[i+1:])
		mantissa += n
		i += 1 + n
	}
	if i == len(s) {
		if mantissa == 0 {
			return statePartial, false
		}
		return stateOK, false
	}
	if mantissa == 0 || s[i]|0x20 != 'e' {
		return stateSyntax, false
	}
	i++
	growing = true
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		growing = s[i] == '+'
		i++
	}
	n := countDigits(s[i:])
	switch {
	case i+n < len(s):
		return stateSyntax, false
	case n == 0:
		return statePartial, false
	}
	return stateOK, growing
}

// countDigits returns the number of digits that s begins with.
func countDigits(s []byte) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// parseFloatName reads the floats that are words. s is the text with its sign,
// word without.
func parseFloatName(s, word []byte) (float64, state, string) {
	const reason = "it is not a number, inf or nan"
	const infinity, nan = "infinity", "nan(0x"
	sign := 1
	if s[0] == '-' {
		sign = -1
	}
	switch {
	case hasFoldPrefix(infinity, word):
		if len(word) == len("inf") || len(word) == len(infinity) {
			return math.Inf(sign), stateOK, ""
		}
		return 0, statePartial, reasonIncomplete
	case len(word) <= len(nan) && hasFoldPrefix(nan, word):
		if len(word) == len("nan") {
			return math.Float64frombits(nanBits), stateOK, ""
		}
		if len(word) > len("nan") && len(word) != len(s) {
			return 0, stateSyntax, reason
		}
		return 0, statePartial, reasonIncomplete
	case len(word) == len(s) && len(word) > len(nan) && hasFoldPrefix(nan, word[:len(nan)]):
		return parseNaNBits(word[len(nan):])
	}
	return 0, stateSyntax, reason
}

// parseNaNBits reads what follows nan(0x: 16 hexadecimal digits and a
// parenthesis.
func parseNaNBits(s []byte) (float64, state, string) {
	const reason = "nan(0x…) wants the 16 hexadecimal digits of a NaN"
	const digits = 16
	var bits uint64
	n := 0
	for ; n < len(s) && n < digits; n++ {
		d, ok := hexDigit(s[n])
		if !ok {
			return 0, stateSyntax, reason
		}
		bits = bits<<4 | uint64(d)
	}
	if n < digits {
		return 0, statePartial, reasonIncomplete
	}
	f := math.Float64frombits(bits)
	switch {
	case f == f:
		return 0, stateSyntax, reason
	case len(s) == digits:
		return 0, statePartial, reasonIncomplete
	case string(s[digits:]) != ")":
		return 0, stateSyntax, reason
	}
	return f, stateOK, ""
}

// hexDigit returns the value of a hexadecimal digit of either case.
func hexDigit(c byte) (byte, bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// uuidLen is the length of the text of a uuid.
const uuidLen = 36

// appendUUID appends the canonical text of u.
func appendUUID(dst []byte, u uuid.UUID) []byte {
	const digits = "0123456789abcdef"
	for i, c := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}

// parseUUID reads 8-4-4-4-12 hexadecimal digits of either case.
func parseUUID(s []byte) (uuid.UUID, state, string) {
	const reason = "want 32 hexadecimal digits as 8-4-4-4-12"
	var u uuid.UUID
	if len(s) > uuidLen {
		return u, stateSyntax, reason
	}
	n := 0
	for i, c := range s {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return u, stateSyntax, reason
			}
			continue
		}
		d, ok := hexDigit(c)
		if !ok {
			return u, stateSyntax, reason
		}
		u[n/2] = u[n/2]<<4 | d
		n++
	}
	if len(s) < uuidLen {
		return u, statePartial, reason
	}
	return u, stateOK, ""
}
