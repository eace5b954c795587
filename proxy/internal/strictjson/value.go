package strictjson

import (
	"strconv"
	"strings"
)

// IsNull says whether the value is null.
func (v Value) IsNull() bool { return v.raw == "null" }

// Bool returns the value, where it is true or false.
func (v Value) Bool() (value, ok bool) {
	switch v.raw {
	case "true":
		return true, true
	case "false":
		return false, true
	default:
		return false, false
	}
}

// IsObject says whether the value is an object.
func (v Value) IsObject() bool { return len(v.raw) > 0 && v.raw[0] == '{' }

// IsArray says whether the value is an array.
func (v Value) IsArray() bool { return len(v.raw) > 0 && v.raw[0] == '[' }

// Object returns the value, where it is an object whose own members differ in more than case.
func (v Value) Object() (Object, bool) {
	if !v.IsObject() {
		return Object{}, false
	}
	o := Object{members: make([]member, 0, 8)}
	s := scanner{text: v.raw}
	if !s.object(&o) || !o.distinct() {
		return Object{}, false
	}
	return o, true
}

// Native returns the object as Go has such values: maps by name, slices, strings, bools, nil for null, int64 for numbers
// that are written without fraction and exponent and fit, float64 for the others. It reports false where an object in it
// has members that differ in nothing but case, or a number is larger than any float64.
func (o Object) Native() (map[string]any, bool) {
	native := make(map[string]any, len(o.members))
	for i := range o.members {
		value, ok := o.members[i].value.native()
		if !ok {
			return nil, false
		}
		native[o.members[i].name] = value
	}
	return native, true
}

// Unambiguous says whether all objects in the value have members that differ in more than case.
func (v Value) Unambiguous() bool {
	_, ok := v.native()
	return ok
}

func (v Value) native() (any, bool) {
	switch {
	case v.IsNull():
		return nil, true
	case v.IsObject():
		o, ok := v.Object()
		if !ok {
			return nil, false
		}
		return o.Native()
	case v.IsArray():
		elements, ok := v.Elements()
		if !ok {
			return nil, false
		}
		list := make([]any, 0, len(elements))
		for _, element := range elements {
			value, ok := element.native()
			if !ok {
				return nil, false
			}
			list = append(list, value)
		}
		return list, true
	}
	if text, ok := v.Text(); ok {
		return text, true
	}
	if value, ok := v.Bool(); ok {
		return value, true
	}
	return v.number()
}

func (v Value) number() (any, bool) {
	text, ok := v.Number()
	if !ok {
		return nil, false
	}
	if !strings.ContainsAny(text, ".eE") {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, true
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}
