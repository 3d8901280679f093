package encoding

import (
	"encoding/hex"
	"strings"

	"pongofs/engine/value"
)

// MaxNameBytes is the length in bytes of the longest file name.
const MaxNameBytes = 255

// The names that pongofs uses itself. No key has them as its name.
const (
	// ControlName is the control directory in the root.
	ControlName = ".pongo"
	// SidecarName is the sidecar of a directory.
	SidecarName = ".pongo-types"
	// AppendName is the name in a list under which new elements are created.
	AppendName = "+"
)

// EscapeName returns the file name of a key in a dict or collection. It is the
// inverse of UnescapeName, except when truncated is set: the name is then
// %=~PREFIX~HASH and the key is found through LongNameError.
//
// Ordinary strings are their own name, and cost nothing. What is not is made
// of codes:
//
//	name    = code | guard | body
//	code    = "%" word
//	word    = "="                        the empty string
//	        | "2E" [ "." | "pongo" | "pongo-types" ]
//	                                     the strings ".", "..", ".pongo", ".pongo-types"
//	        | "=n"                       null
//	        | "=b0" | "=b1"              bool
//	        | "=i" int | "=f" float | "=t" datetime | "=u" uuid
//	                                     canonical text as AppendText writes it
//	        | "=x" hex                   bytes, two lower-case digits each
//	guard   = "%25" { "25" } word        the string with one "25" less
//	body    = { slash | nul | quote | byte }
//	slash   = "%2F"
//	nul     = "%00"
//	quote   = "%25" { "25" } ( "2F" | "00" )
//	                                     this text with one "25" less
//	byte    = any byte but "/" and NUL, where nothing above applies
//
// So a "%" is escaped only where the text would be read as a code otherwise:
// "100%", "foo%25bar", "%2f" and "%=i055" are ordinary strings and their own
// names, the string "%2F" is named "%252F" and "%=i5" is named "%25=i5". Each
// legal name is the name of exactly one key, ControlName and SidecarName and
// the truncated names of LongNameError excepted.
func EscapeName(k value.Value) (name string, truncated bool) {
	if k.Kind() == value.KindString {
		// The fast path: most keys are their own name.
		s := k.AsString()
		if len(s) > 0 && len(s) <= MaxNameBytes && !isSpecial(s) {
			return s, false
		}
	}
	return limitName(k, escapeKey(k, false))
}

// UnescapeName returns the key of a file name in a dict or collection. Errors:
// ErrBadName, ErrNameTooLong, ErrReservedName, and *LongNameError for a
// truncated name.
func UnescapeName(name string) (value.Value, error) { return unescapeName(name, false) }

// EscapeKey is EscapeName without a limit of length: the text of
// user.pongo.key and of the keys in a sidecar.
func EscapeKey(k value.Value) string { return escapeKey(k, false) }

// UnescapeKey is the inverse of EscapeKey. Errors: ErrBadName, ErrReservedName.
func UnescapeKey(s string) (value.Value, error) {
	if err := checkName(s); err != nil {
		return value.Value{}, err
	}
	return unescapeKey(s, false), nil
}

// isSpecial reports whether a string that is not empty may differ from its
// name, or a name from its string: it is cheap and may err on that side.
func isSpecial(s string) bool {
	if s[0] == '.' && isDotName(s) {
		return true
	}
	return strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '/') >= 0 || strings.IndexByte(s, 0) >= 0
}

// isDotName reports whether s is a string whose first dot is escaped.
func isDotName(s string) bool {
	return s == "." || s == ".." || s == ControlName || s == SidecarName
}

// checkName returns the error of a name that no key has, of any length.
func checkName(name string) error {
	switch {
	case name == "", name == ".", name == "..":
		return ErrBadName
	case name == ControlName, name == SidecarName:
		return ErrReservedName
	case strings.IndexByte(name, '/') >= 0, strings.IndexByte(name, 0) >= 0:
		return ErrBadName
	}
	return nil
}

// unescapeName is UnescapeName or, if list is set, UnescapeListName.
func unescapeName(name string, list bool) (value.Value, error) {
	if err := checkName(name); err != nil {
		return value.Value{}, err
	}
	if len(name) > MaxNameBytes {
		return value.Value{}, ErrNameTooLong
	}
	if isLongName(name) {
		return value.Value{}, newLongNameError(name, list)
	}
	return unescapeKey(name, list), nil
}

// escapeKey escapes a key without a limit of length.
func escapeKey(k value.Value, list bool) string {
	if k.Kind() != value.KindString {
		return escapeTyped(k)
	}
	s := k.AsString()
	if word, ok := wordOfString(s, list); ok {
		return "%" + word
	}
	body := escapeBody(s)
	if _, word, ok := cutGuard(body); ok {
		if _, isWord := keyOfWord(word, list); isWord {
			return "%25" + body[1:]
		}
	}
	return body
}

// unescapeKey is the inverse of escapeKey, for names that pass checkName.
func unescapeKey(name string, list bool) value.Value {
	if strings.IndexByte(name, '%') < 0 {
		return value.String(name)
	}
	if guards, word, ok := cutGuard(name); ok {
		if k, isWord := keyOfWord(word, list); isWord {
			if guards == 0 {
				return k
			}
			name = "%" + name[len("%25"):]
		}
	}
	return value.String(unescapeBody(name))
}

// cutGuard splits text that begins with a percent sign into the number of 25s
// behind it and the rest. ok is false for other text.
func cutGuard(s string) (guards int, rest string, ok bool) {
	rest, ok = strings.CutPrefix(s, "%")
	if !ok {
		return 0, "", false
	}
	for strings.HasPrefix(rest, "25") {
		rest = rest[len("25"):]
		guards++
	}
	return guards, rest, true
}

// wordOfString returns the word of a string whose name is a code.
func wordOfString(s string, list bool) (string, bool) {
	switch {
	case s == "":
		return "=", true
	case isDotName(s):
		return "2E" + s[1:], true
	case list:
		return wordOfListString(s)
	}
	return "", false
}

// keyOfWord returns the key whose code is the percent sign and word.
func keyOfWord(word string, list bool) (value.Value, bool) {
	if word == "=" {
		return value.String(""), true
	}
	if tail, ok := strings.CutPrefix(word, "2E"); ok {
		s := "." + tail
		return value.String(s), isDotName(s)
	}
	if list {
		return keyOfListWord(word)
	}
	return keyOfTypedWord(word)
}

// typeLetters are the letters behind %= of the kinds that are written as their
// canonical text.
var typeLetters = [...]struct {
	letter byte
	kind   value.Kind
}{
	{'n', value.KindNull},
	{'i', value.KindInt},
	{'f', value.KindFloat},
	{'t', value.KindDatetime},
	{'u', value.KindUUID},
}

// escapeTyped returns the code of a key that is not a string.
func escapeTyped(k value.Value) string {
	var buf [len("%=i") + MaxInferBytes]byte
	switch k.Kind() {
	case value.KindBool:
		if k.AsBool() {
			return "%=b1"
		}
		return "%=b0"
	case value.KindBytes:
		return "%=x" + hex.EncodeToString([]byte(k.AsString()))
	}
	for _, t := range typeLetters {
		if t.kind == k.Kind() {
			return string(AppendText(append(buf[:0], '%', '=', t.letter), k))
		}
	}
	return "%="
}

// keyOfTypedWord is keyOfWord for keys that are not strings. Only canonical
// text is a word: everything else is left to be a string.
func keyOfTypedWord(word string) (value.Value, bool) {
	if len(word) < len("=n") || word[0] != '=' {
		return value.Value{}, false
	}
	letter, text := word[1], word[2:]
	switch letter {
	case 'b':
		return value.Bool(text == "1"), text == "0" || text == "1"
	case 'x':
		return keyOfHex(text)
	}
	if len(text) > MaxInferBytes {
		return value.Value{}, false
	}
	for _, t := range typeLetters {
		if t.letter != letter {
			continue
		}
		b := []byte(text)
		k, st, _ := parseShort(t.kind, b)
		return k, st == stateOK && isCanonical(b, k)
	}
	return value.Value{}, false
}

// keyOfHex returns the bytes whose lower-case hexadecimal digits are text.
func keyOfHex(text string) (value.Value, bool) {
	for i := 0; i < len(text); i++ {
		if c := text[i]; !isDigit(c) && (c < 'a' || c > 'f') {
			return value.Value{}, false
		}
	}
	b, err := hex.DecodeString(text)
	return value.Bytes(b), err == nil
}

// cutBodyCode splits text that begins with a percent sign behind { "25" } and
// "2F" or "00". ok is false for other text.
func cutBodyCode(s string) (guards int, char byte, rest string, ok bool) {
	guards, rest, ok = cutGuard(s)
	switch {
	case !ok:
	case strings.HasPrefix(rest, "2F"):
		return guards, '/', rest[2:], true
	case strings.HasPrefix(rest, "00"):
		return guards, 0, rest[2:], true
	}
	return 0, 0, "", false
}

// escapeBody writes slashes and NULs as codes and adds a 25 to text that looks
// like one.
func escapeBody(s string) string {
	var b strings.Builder
	done := 0 // s[:done] is written to b
	for i := 0; i < len(s); i++ {
		var code string
		switch s[i] {
		case '/':
			code = "%2F"
		case 0:
			code = "%00"
		case '%':
			if _, _, _, ok := cutBodyCode(s[i:]); !ok {
				continue
			}
			code = "%25"
		default:
			continue
		}
		b.WriteString(s[done:i])
		b.WriteString(code)
		done = i + 1
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// unescapeBody is the inverse of escapeBody.
func unescapeBody(s string) string {
	var b strings.Builder
	done := 0 // what s[:done] stands for is written to b
	for i := strings.IndexByte(s, '%'); i >= 0 && i < len(s); i++ {
		if s[i] != '%' {
			continue
		}
		guards, char, rest, ok := cutBodyCode(s[i:])
		if !ok {
			continue
		}
		b.WriteString(s[done:i])
		if guards == 0 {
			b.WriteByte(char)
			done = len(s) - len(rest)
		} else {
			b.WriteByte('%')
			done = i + len("%25")
		}
		i = done - 1
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}
