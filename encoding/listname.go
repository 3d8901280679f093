package encoding

import (
	"strconv"
	"strings"

	"pongofs/engine/value"
)

// ListIndex returns the index that a file name in a list stands for: canonical
// decimals within int64 only, so "0" and "17" but not "007", "+1" or "-1".
func ListIndex(name string) (int64, bool) {
	const longest = len("9223372036854775807")
	if name == "" || len(name) > longest || name[0] == '0' && len(name) > 1 {
		return 0, false
	}
	var u uint64
	for i := 0; i < len(name); i++ {
		if !isDigit(name[i]) {
			return 0, false
		}
		u = u*10 + uint64(name[i]-'0')
	}
	return int64(u), u <= 1<<63-1
}

// EscapeListName returns the file name of a key in a list: an int of at least
// 0, which is an element, or a string, which is a name beside the elements.
// Other keys do not occur in lists.
//
// An element is named by its index as a decimal. Strings are escaped as
// EscapeName does, but with other words, since all keys but the elements are
// strings here and codes like %=i5 stand for nothing:
//
//	word    = "="                        the empty string
//	        | "2E" [ "." | "pongo" | "pongo-types" ]
//	        | "2B"                       the string "+"
//	        | "=s" index                 a string that is the name of an element
func EscapeListName(k value.Value) (name string, truncated bool) {
	if k.Kind() == value.KindInt && k.AsInt() >= 0 {
		return strconv.FormatInt(k.AsInt(), 10), false
	}
	return limitName(k, escapeKey(k, true))
}

// UnescapeListName returns the key of a file name in a list: an int for a
// canonical decimal, else a string. Errors as UnescapeName; AppendName is
// ErrReservedName.
func UnescapeListName(name string) (value.Value, error) {
	if i, ok := ListIndex(name); ok {
		return value.Int(i), nil
	}
	if name == AppendName {
		return value.Value{}, ErrReservedName
	}
	return unescapeName(name, true)
}

// wordOfListString is wordOfString for the strings that only lists escape.
func wordOfListString(s string) (string, bool) {
	if s == AppendName {
		return "2B", true
	}
	if _, ok := ListIndex(s); ok {
		return "=s" + s, true
	}
	return "", false
}

// keyOfListWord is the inverse of wordOfListString.
func keyOfListWord(word string) (value.Value, bool) {
	if word == "2B" {
		return value.String(AppendName), true
	}
	if s, ok := strings.CutPrefix(word, "=s"); ok {
		_, isIndex := ListIndex(s)
		return value.String(s), isIndex
	}
	return value.Value{}, false
}
