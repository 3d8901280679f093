package encoding

import (
	"encoding/base64"
	"io"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"pongofs/engine/value"
)

// The tags of YAML's own types.
const (
	tagNull      = "!!null"
	tagBool      = "!!bool"
	tagInt       = "!!int"
	tagFloat     = "!!float"
	tagString    = "!!str"
	tagTimestamp = "!!timestamp"
	tagBinary    = "!!binary"
	tagMerge     = "!!merge"
	tagMap       = "!!map"
	tagSeq       = "!!seq"
)

// encodeYAML writes t with YAML's own types, which every reader knows: a
// datetime as a timestamp, bytes as a binary, keys of any type. A uuid becomes
// a string, a collection a map, a symbolic link its target, and a gap null.
func encodeYAML(w *walker, out io.Writer, t value.Tree) error {
	n, err := yamlNode(w, t)
	if err != nil {
		return err
	}
	ew := &errorWriter{w: out}
	enc := yaml.NewEncoder(ew)
	enc.SetIndent(2)
	err = enc.Encode(n)
	if err == nil {
		err = enc.Close()
	}
	if ew.err != nil {
		return ew.err
	}
	return err
}

// errorWriter keeps the error of a writer, of which the library keeps the text
// only.
type errorWriter struct {
	w   io.Writer
	err error
}

func (e *errorWriter) Write(p []byte) (int, error) {
	n, err := e.w.Write(p)
	if err != nil {
		e.err = err
	}
	return n, err
}

// yamlNode builds the node of a tree.
func yamlNode(w *walker, t value.Tree) (*yaml.Node, error) {
	switch t.Kind() {
	case value.KindList:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: tagSeq}
		err := w.elements(t, func() error {
			n.Content = append(n.Content, yamlScalar(w, value.Null()))
			return nil
		}, func(c value.Tree) error {
			child, err := yamlNode(w, c)
			n.Content = append(n.Content, child)
			return err
		})
		return n, err
	case value.KindDict, value.KindCollection:
		if t.Kind() == value.KindCollection {
			w.lose(LossCollection)
		}
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: tagMap}
		var keys keyGuard
		err := w.members(t, func(k value.Value, c value.Tree) error {
			written := yamlValue(k)
			if written != k {
				w.lose(LossKey)
			}
			if err := keys.check(w, k, written); err != nil {
				return err
			}
			child, err := yamlNode(w, c)
			n.Content = append(n.Content, yamlScalar(w, written), child)
			return err
		})
		return n, err
	}
	v, err := w.scalar(t)
	if err != nil {
		return nil, err
	}
	if t.Link() {
		w.lose(LossLink)
	}
	return yamlScalar(w, v), nil
}

// yamlValue returns the value that a reader of YAML gets for v.
func yamlValue(v value.Value) value.Value {
	switch v.Kind() {
	case value.KindUUID:
		return value.String(Text(v))
	case value.KindDatetime:
		if year := v.AsDatetime().Year(); year < 0 || year > 9999 {
			return value.String(Text(v))
		}
	case value.KindFloat:
		if math.IsNaN(v.AsFloat()) {
			return value.Float(math.NaN())
		}
	case value.KindString:
		if !utf8.ValidString(v.AsString()) {
			return value.Bytes([]byte(v.AsString()))
		}
	}
	return v
}

// yamlScalar returns the node of a scalar.
func yamlScalar(w *walker, v value.Value) *yaml.Node {
	written := yamlValue(v)
	if written != v {
		switch v.Kind() {
		case value.KindString:
			w.lose(LossTextEncoding)
		case value.KindFloat:
			w.lose(LossNaN)
		default:
			w.loseType(v.Kind())
		}
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: Text(written)}
	switch written.Kind() {
	case value.KindNull:
		n.Tag, n.Value = tagNull, "null"
	case value.KindBool:
		n.Tag = tagBool
	case value.KindInt:
		n.Tag = tagInt
	case value.KindFloat:
		n.Tag = tagFloat
		switch f := written.AsFloat(); {
		case math.IsNaN(f):
			n.Value = ".nan"
		case math.IsInf(f, 1):
			n.Value = ".inf"
		case math.IsInf(f, -1):
			n.Value = "-.inf"
		}
	case value.KindDatetime:
		n.Tag = tagTimestamp
	case value.KindBytes:
		n.Tag = tagBinary
		n.Value = base64.StdEncoding.EncodeToString([]byte(n.Value))
	case value.KindString:
		n.Tag = tagString
		n.Style = yamlStringStyle(n.Value)
	}
	return n
}

// yamlStringStyle returns the style in which a string survives. The emitter
// chooses well for one line; of more lines it is trusted with the plain ones.
func yamlStringStyle(s string) yaml.Style {
	if s == "<<" {
		return yaml.DoubleQuotedStyle
	}
	lines := 0
	for i, r := range s {
		switch {
		case r == '\n' && i > 0:
			lines++
		case r == ' ' && (i == 0 || s[i-1] == '\n' || i == len(s)-1):
			return yaml.DoubleQuotedStyle
		case !unicode.IsPrint(r), r == utf8.RuneError, r == 0xFEFF:
			return yaml.DoubleQuotedStyle
		}
	}
	if lines > 0 && !strings.HasSuffix(s, "\n\n") {
		return yaml.LiteralStyle
	}
	if lines > 0 {
		return yaml.DoubleQuotedStyle
	}
	return 0
}
