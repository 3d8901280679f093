package engine

import (
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/google/uuid"

	"pongofs/engine/value"
)

// FromGo returns a Go value as a typed value with everything below it:
//
//	nil                           null
//	bool                          bool
//	int…, uint…                   int; ErrTooLarge beyond int64
//	float32, float64              float
//	string                        string
//	[]byte                        bytes
//	time.Time                     datetime, cut to microseconds
//	uuid.UUID                     uuid
//	value.Value                   itself
//	value.Tree                    itself: dicts, lists, collections, links
//	[]any, slices and arrays      list
//	map[string]any, maps          dict; the keys are scalars
//
// Other named types count as the types that they are made from. Anything else
// is ErrKind: structs, pointers, functions.
//
// Containers are copied, so they may change afterwards. One that contains
// itself is ErrTooLarge.
func FromGo(v any) (value.Tree, error) {
	if t, ok := v.(value.Tree); ok {
		return t, nil
	}
	var d value.Document
	if err := feedGo(v, &d, 0); err != nil {
		return nil, err
	}
	return d.Tree()
}

// scalarFromGo converts what is a scalar; ok is false for anything else.
func scalarFromGo(v any) (s value.Value, ok bool, err error) {
	switch v := v.(type) {
	case nil:
		return value.Null(), true, nil
	case value.Value:
		return v, true, nil
	case string:
		return value.String(v), true, nil
	case int:
		return value.Int(int64(v)), true, nil
	case int64:
		return value.Int(v), true, nil
	case bool:
		return value.Bool(v), true, nil
	case float64:
		return value.Float(v), true, nil
	case []byte:
		return value.Bytes(v), true, nil
	case uuid.UUID:
		return value.UUID(v), true, nil
	case time.Time:
		// The range in which microseconds fit an int64.
		if y := v.UTC().Year(); y < -290_000 || y > 290_000 {
			return s, false, fmt.Errorf("datetime in the year %d: %w", y, ErrTooLarge)
		}
		return value.Datetime(v), true, nil
	}
	if _, ok := v.(value.Tree); ok {
		return s, false, nil
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Bool:
		return value.Bool(r.Bool()), true, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return value.Int(r.Int()), true, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if r.Uint() > math.MaxInt64 {
			return s, false, fmt.Errorf("int %d: %w", r.Uint(), ErrTooLarge)
		}
		return value.Int(int64(r.Uint())), true, nil
	case reflect.Float32, reflect.Float64:
		return value.Float(r.Float()), true, nil
	case reflect.String:
		return value.String(r.String()), true, nil
	case reflect.Slice:
		if r.Type().Elem().Kind() == reflect.Uint8 {
			return value.Bytes(r.Bytes()), true, nil
		}
	}
	return s, false, nil
}

// keyFromGo converts a key.
func keyFromGo(v any) (value.Value, error) {
	k, ok, err := scalarFromGo(v)
	if err == nil && (!ok || !k.Kind().IsScalar()) {
		err = fmt.Errorf("key of the Go type %T: %w", v, ErrKey)
	}
	return k, err
}

// boundFromGo converts a bound of a range; the zero value.Value is none.
func boundFromGo(v any) (value.Value, error) {
	if v == (value.Value{}) {
		return value.Value{}, nil
	}
	return keyFromGo(v)
}

// feedGo feeds a Go value to b.
func feedGo(v any, b value.Builder, depth int) error {
	s, ok, err := scalarFromGo(v)
	switch {
	case err != nil:
		return err
	case ok && !s.IsValid():
		return fmt.Errorf("the zero value.Value: %w", ErrKind)
	case ok:
		return b.Scalar(s)
	case depth == maxNesting:
		return tooDeep()
	}
	if t, ok := v.(value.Tree); ok {
		return feedTree(t, b, depth)
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Slice, reflect.Array:
		if err := b.Begin(value.KindList); err != nil {
			return err
		}
		for i := range r.Len() {
			if err := feedGo(r.Index(i).Interface(), b, depth+1); err != nil {
				return inside(value.Int(int64(i)), err)
			}
		}
		return b.End()
	case reflect.Map:
		if err := b.Begin(value.KindDict); err != nil {
			return err
		}
		for it := r.MapRange(); it.Next(); {
			k, err := keyFromGo(it.Key().Interface())
			if err != nil {
				return err
			}
			if err := b.Key(k); err != nil {
				return err
			}
			if err := feedGo(it.Value().Interface(), b, depth+1); err != nil {
				return inside(k, err)
			}
		}
		return b.End()
	}
	return fmt.Errorf("value of the Go type %T: %w", v, ErrKind)
}

// feedTree feeds a tree to b.
func feedTree(t value.Tree, b value.Builder, depth int) error {
	switch kind := t.Kind(); {
	case t.Link():
		v, err := t.Scalar()
		if err != nil {
			return err
		}
		return b.Link(v.AsString())
	case !kind.IsContainer():
		v, err := t.Scalar()
		if err != nil {
			return err
		}
		return b.Scalar(v)
	case depth == maxNesting:
		return tooDeep()
	default:
		if err := b.Begin(kind); err != nil {
			return err
		}
		next := int64(0)
		for k, child := range t.Children() {
			if kind == value.KindList && k.Kind() == value.KindInt {
				for ; next < k.AsInt(); next++ {
					if err := b.Gap(); err != nil {
						return err
					}
				}
				next++
			} else if err := b.Key(k); err != nil {
				return err
			}
			if err := feedTree(child, b, depth+1); err != nil {
				return inside(k, err)
			}
		}
		if err := t.Err(); err != nil {
			return err
		}
		return b.End()
	}
}

// ToGo is the way back from FromGo: null is nil, int is int64, float is
// float64, bytes is []byte, datetime is a time.Time in UTC. A list is []any,
// with nil for gaps; a dict or collection is map[string]any when all its keys
// are strings, else map[value.Value]any. A link is a string.
func ToGo(t value.Tree) (any, error) { return toGo(t, 0) }

func toGo(t value.Tree, depth int) (any, error) {
	kind := t.Kind()
	if !kind.IsContainer() {
		v, err := t.Scalar()
		return scalarToGo(v), err
	}
	if depth == maxNesting {
		return nil, tooDeep()
	}
	var list []any
	named := map[string]any{}
	keyed := map[value.Value]any{}
	for k, child := range t.Children() {
		v, err := toGo(child, depth+1)
		if err != nil {
			return nil, inside(k, err)
		}
		switch {
		case kind == value.KindList && k.Kind() != value.KindInt: // a name beside the elements
		case kind == value.KindList:
			for int64(len(list)) < k.AsInt() {
				list = append(list, nil)
			}
			list = append(list, v)
		default:
			keyed[k] = v
			if k.Kind() == value.KindString {
				named[k.AsString()] = v
			}
		}
	}
	switch {
	case t.Err() != nil:
		return nil, t.Err()
	case kind == value.KindList:
		return append([]any{}, list...), nil
	case len(named) == len(keyed):
		return named, nil
	}
	return keyed, nil
}

func scalarToGo(v value.Value) any {
	switch v.Kind() {
	case value.KindBool:
		return v.AsBool()
	case value.KindInt:
		return v.AsInt()
	case value.KindFloat:
		return v.AsFloat()
	case value.KindString:
		return v.AsString()
	case value.KindBytes:
		return v.AsBytes()
	case value.KindDatetime:
		return v.AsDatetime()
	case value.KindUUID:
		return v.AsUUID()
	}
	return nil
}
