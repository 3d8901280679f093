package encoding

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"pongofs/engine/value"
)

// maxYAMLCopies is how many values aliases and merges may repeat in all, so
// that a small document cannot stand for a huge one.
const maxYAMLCopies = 1 << 18

// decodeYAML reads one YAML document.
//
// Scalars have the types that the library gives them (timestamps without time
// zone are in UTC, yes and no are strings, 0x1F is an int); numbers follow the
// rules of JSON. Aliases are copied, and merge keys are merged. Tags that are
// not YAML's own are errors, as are keys that are maps or sequences. An empty
// document is null.
func decodeYAML(r io.Reader, b value.Builder) error {
	d := &yamlDecoder{memoryDecoder: memoryDecoder{format: FormatYAML, b: b}}
	data, err := d.readAll(r)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err == io.EOF {
		return d.built(0, b.Scalar(value.Null()))
	} else if err != nil {
		return d.syntax(err)
	}
	if err := dec.Decode(&more); err == nil {
		return d.fail(more.Line, ErrSyntax, "a second document follows")
	} else if err != io.EOF {
		return d.syntax(err)
	}
	return d.node(&doc)
}

// yamlDecoder reads the nodes of a document.
type yamlDecoder struct {
	memoryDecoder
	aliases []*yaml.Node // the nodes being copied, outermost first
	copies  int
}

// syntax makes the error for one of the library, which has the line in its
// text only.
func (d *yamlDecoder) syntax(err error) error {
	reason := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if n, _ := fmt.Sscanf(reason, "line %d: ", &line); n == 1 {
		_, reason, _ = strings.Cut(reason, ": ")
	}
	return d.fail(line, ErrSyntax, reason)
}

// node feeds one node to the builder.
func (d *yamlDecoder) node(n *yaml.Node) error {
	if err := d.count(n); err != nil {
		return err
	}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) != 1 {
			return d.fail(n.Line, ErrSyntax, "want one value")
		}
		return d.node(n.Content[0])
	case yaml.AliasNode:
		if err := d.enter(n); err != nil {
			return err
		}
		err := d.node(n.Alias)
		d.leave()
		return err
	case yaml.SequenceNode:
		return d.sequence(n)
	case yaml.MappingNode:
		return d.mapping(n)
	}
	v, err := d.scalar(n)
	if err != nil {
		return err
	}
	return d.built(n.Line, d.b.Scalar(v))
}

// count counts the values and maps that come from an alias.
func (d *yamlDecoder) count(n *yaml.Node) error {
	if len(d.aliases) == 0 {
		return nil
	}
	if d.copies++; d.copies > maxYAMLCopies {
		return d.fail(n.Line, ErrRange, fmt.Sprintf("aliases repeat more than %d values", maxYAMLCopies))
	}
	return nil
}

// enter begins to copy the node that an alias stands for.
func (d *yamlDecoder) enter(alias *yaml.Node) error {
	for _, open := range d.aliases {
		if open == alias.Alias {
			return d.fail(alias.Line, ErrSyntax, fmt.Sprintf("the value of *%s contains itself", alias.Value))
		}
	}
	d.aliases = append(d.aliases, alias.Alias)
	return nil
}

func (d *yamlDecoder) leave() { d.aliases = d.aliases[:len(d.aliases)-1] }

func (d *yamlDecoder) sequence(n *yaml.Node) error {
	if tag := n.ShortTag(); tag != tagSeq {
		return d.unknownTag(n, tag)
	}
	if err := d.begin(n.Line, value.KindList); err != nil {
		return err
	}
	for i, c := range n.Content {
		d.at(i)
		if err := d.node(c); err != nil {
			return err
		}
	}
	return d.end(n.Line)
}

func (d *yamlDecoder) mapping(n *yaml.Node) error {
	if tag := n.ShortTag(); tag != tagMap {
		return d.unknownTag(n, tag)
	}
	if err := d.begin(n.Line, value.KindDict); err != nil {
		return err
	}
	if err := d.members(n, map[value.Value]struct{}{}); err != nil {
		return err
	}
	return d.end(n.Line)
}

// members feeds the members of n that are not in seen, and then those that its
// merge keys bring in: what is nearer wins.
func (d *yamlDecoder) members(n *yaml.Node, seen map[value.Value]struct{}) error {
	own := map[value.Value]struct{}{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, c := n.Content[i], n.Content[i+1]
		if isMergeKey(key) {
			merges = append(merges, c)
			continue
		}
		k, err := d.scalarKey(key)
		if err != nil {
			return err
		}
		if _, double := own[k]; double {
			return d.fail(key.Line, ErrSyntax, "duplicate key "+k.GoString())
		}
		own[k] = struct{}{}
		if _, overridden := seen[k]; overridden {
			continue
		}
		seen[k] = struct{}{}
		if err := d.key(key.Line, k); err != nil {
			return err
		}
		if err := d.node(c); err != nil {
			return err
		}
	}
	for _, m := range merges {
		if err := d.merge(m, seen, true); err != nil {
			return err
		}
	}
	return nil
}

// isMergeKey reports whether a key is a plain <<.
func isMergeKey(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && (key.Tag == "" || key.Tag == "!" || key.ShortTag() == tagMerge)
}

// merge feeds the members of a map, or of each map in a sequence.
func (d *yamlDecoder) merge(n *yaml.Node, seen map[value.Value]struct{}, sequence bool) error {
	if err := d.count(n); err != nil {
		return err
	}
	if n.Kind == yaml.AliasNode {
		if err := d.enter(n); err != nil {
			return err
		}
		err := d.merge(n.Alias, seen, sequence)
		d.leave()
		return err
	}
	switch {
	case n.Kind == yaml.MappingNode:
		if len(d.aliases) >= MaxDepth {
			return d.fail(n.Line, ErrTooDeep, reasonTooDeep)
		}
		return d.members(n, seen)
	case n.Kind == yaml.SequenceNode && sequence:
		for _, c := range n.Content {
			if err := d.merge(c, seen, false); err != nil {
				return err
			}
		}
		return nil
	}
	return d.fail(n.Line, ErrSyntax, "<< wants a map or a sequence of maps")
}

// scalarKey reads a key.
func (d *yamlDecoder) scalarKey(n *yaml.Node) (value.Value, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		return value.Value{}, d.fail(n.Line, ErrUnsupported, "a key that is a map or a sequence has no place in a store")
	}
	return d.scalar(n)
}

func (d *yamlDecoder) unknownTag(n *yaml.Node, tag string) error {
	return d.fail(n.Line, ErrUnsupported, fmt.Sprintf("a store has no values of type %s", tag))
}

// scalar returns the value of a scalar node.
func (d *yamlDecoder) scalar(n *yaml.Node) (value.Value, error) {
	switch tag := n.ShortTag(); tag {
	case tagString, tagMerge:
		return value.String(n.Value), nil
	case tagNull:
		return value.Null(), nil
	case tagBool:
		var b bool
		if err := n.Decode(&b); err != nil {
			return value.Value{}, d.syntax(err)
		}
		return value.Bool(b), nil
	case tagInt, tagFloat:
		return d.number(n, tag)
	case tagTimestamp:
		var t time.Time
		if err := n.Decode(&t); err != nil {
			return value.Value{}, d.syntax(err)
		}
		return value.Datetime(t), nil
	case tagBinary:
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
		if err != nil {
			return value.Value{}, d.fail(n.Line, ErrSyntax, "the binary is not base64")
		}
		return value.Bytes(b), nil
	default:
		return value.Value{}, d.unknownTag(n, tag)
	}
}

// number reads an int or float. What JSON could say follows the rules of
// jsonNumber, the rest the library.
func (d *yamlDecoder) number(n *yaml.Node, tag string) (value.Value, error) {
	explicitFloat := tag == tagFloat && n.Style&yaml.TaggedStyle != 0
	if isJSONNumber(n.Value) && !explicitFloat {
		v, reason, err := jsonNumber(n.Value)
		if err != nil {
			return value.Value{}, d.fail(n.Line, err, reason)
		}
		if tag == tagInt && v.Kind() != value.KindInt && n.Style&yaml.TaggedStyle != 0 {
			return value.Value{}, d.fail(n.Line, ErrRange, fmt.Sprintf("the number %s is not an int", clip(n.Value)))
		}
		return v, nil
	}
	if tag == tagInt {
		var i int64
		if err := n.Decode(&i); err != nil {
			return value.Value{}, d.fail(n.Line, ErrRange, fmt.Sprintf("the number %s does not fit an int", clip(n.Value)))
		}
		return value.Int(i), nil
	}
	var f float64
	if err := n.Decode(&f); err != nil {
		return value.Value{}, d.syntax(err)
	}
	switch {
	case f == 0 && !isZero(n.Value):
		return value.Value{}, d.fail(n.Line, ErrRange, fmt.Sprintf("the number %s is too small for a float", clip(n.Value)))
	case math.IsNaN(f):
		f = math.NaN()
	}
	return value.Float(f), nil
}

// isJSONNumber reports whether s is a number in the grammar of JSON.
func isJSONNumber(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if len(digits) == 0 || digits[0] == '0' && len(digits) > 1 && isDigit(digits[1]) {
		return false
	}
	st, _ := scanDecimal([]byte(digits))
	if st != stateOK || !isDigit(digits[0]) {
		return false
	}
	_, fraction, hasFraction := strings.Cut(digits, ".")
	return !hasFraction || len(fraction) > 0 && isDigit(fraction[0])
}
