package encoding

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"pongofs/engine/value"
)

// A truncated name is longNameMark, PREFIX, "~" and HASH. HASH is the first
// longHashBytes bytes of the SHA-256 of the key as value.AppendKey encodes it,
// in hexadecimal: so many that nobody finds two keys with one name. PREFIX is
// as much of the key's escape as fits, cut at a character of UTF-8, so that it
// is the beginning of the key and finds it in order.
const (
	longNameMark   = "%=~"
	longHashBytes  = 16
	longHashLen    = 2 * longHashBytes
	longPrefixLen  = MaxNameBytes - len(longNameMark) - len("~") - longHashLen
	minLongNameLen = MaxNameBytes - (utf8.UTFMax - 1)
)

// LongNameError says that a name has the form %=~PREFIX~HASH, which stands for
// a key whose escape is too long for a name. The caller looks for the key
// among the keys of the directory:
//
//	scan from behind e.After, stop at the first key with e.Past(key),
//	take the one with e.Match(key).
//
// When there is none, the name stands for the string key e.Key, whose name it
// is as well, truncated. So a file that is restored under such a name keeps it
// until the sidecar tells its key, and its entry can then be renamed to that
// key without changing its name.
type LongNameError struct {
	// Name is the name.
	Name string
	// Key is the string key of this very text: value.String(Name).
	Key value.Value
	// After sorts before every key that can match.
	After value.Value

	list bool
}

// Error describes the name.
func (e *LongNameError) Error() string {
	return fmt.Sprintf("name %q is the truncated name of a longer key", e.Name)
}

// Match reports whether k is a key whose truncated name this is.
func (e *LongNameError) Match(k value.Value) bool {
	if k.Kind() != e.After.Kind() || !strings.HasPrefix(k.AsString(), e.After.AsString()) || k == e.Key {
		return false
	}
	name, truncated := limitName(k, escapeKey(k, e.list))
	return truncated && name == e.Name
}

// Past reports whether k and every key behind it cannot match.
func (e *LongNameError) Past(k value.Value) bool {
	if k.Kind() != e.After.Kind() {
		return k.Kind() > e.After.Kind()
	}
	prefix := e.After.AsString()
	return k.AsString() > prefix && !strings.HasPrefix(k.AsString(), prefix)
}

// limitName makes a name of the escape of k.
func limitName(k value.Value, escaped string) (name string, truncated bool) {
	s := k.AsString()
	switch {
	case k.Kind() == value.KindString && isLongName(s) && checkName(s) == nil:
		return s, true // LongNameError.Key
	case len(escaped) > MaxNameBytes, isLongName(escaped):
		return longName(k), true
	}
	return escaped, false
}

// isLongName reports whether a name has the form of a truncated one.
func isLongName(name string) bool {
	if len(name) < minLongNameLen || len(name) > MaxNameBytes || !strings.HasPrefix(name, longNameMark) {
		return false
	}
	hash := len(name) - longHashLen
	if name[hash-1] != '~' {
		return false
	}
	_, ok := keyOfHex(name[hash:])
	return ok
}

// longName returns the truncated name of k, a string or bytes.
func longName(k value.Value) string {
	prefix := longPrefixSource(k)[:longPrefixLen+1]
	cut := longPrefixLen
	for cut > longPrefixLen-utf8.UTFMax+1 && !utf8.RuneStart(prefix[cut]) {
		cut--
	}
	hash := sha256.Sum256(value.AppendKey(nil, k))
	return longNameMark + prefix[:cut] + "~" + hex.EncodeToString(hash[:longHashBytes])
}

// longPrefixSource returns the text that PREFIX is cut from: the escape of k,
// but so that each beginning of it tells strings from bytes. Every string that
// begins like the code of bytes is guarded here, not only those that are one.
func longPrefixSource(k value.Value) string {
	if k.Kind() != value.KindString {
		return escapeTyped(k)
	}
	body := escapeBody(k.AsString())
	if _, rest, ok := cutGuard(body); ok && strings.HasPrefix(rest, "=x") {
		return "%25" + body[1:]
	}
	return body
}

// newLongNameError takes a truncated name apart.
func newLongNameError(name string, list bool) *LongNameError {
	prefix := name[len(longNameMark) : len(name)-longHashLen-len("~")]
	return &LongNameError{Name: name, Key: value.String(name), After: keyOfLongPrefix(prefix), list: list}
}

// keyOfLongPrefix returns the beginning of the keys whose PREFIX is prefix.
func keyOfLongPrefix(prefix string) value.Value {
	if digits, ok := strings.CutPrefix(prefix, "%=x"); ok {
		b, _ := hex.DecodeString(digits[:len(digits)&^1]) // what was good before an error
		return value.Bytes(b)
	}
	// The cut may have hit a code: what is left of it means nothing.
	if i := strings.LastIndexByte(prefix, '%'); i >= 0 {
		_, rest, _ := cutGuard(prefix[i:])
		if rest == "" || rest == "2" || rest == "0" || i == 0 && rest == "=" {
			prefix = prefix[:i]
		}
	}
	if guards, rest, ok := cutGuard(prefix); ok && guards > 0 && strings.HasPrefix(rest, "=x") {
		prefix = "%" + prefix[len("%25"):]
	}
	return value.String(unescapeBody(prefix))
}
