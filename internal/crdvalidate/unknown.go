package crdvalidate

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// maxListed is up to how many known fields a message lists where none is close.
	maxListed = 12
	// maxCompared is up to which length a name is compared with known ones: the comparison takes quadratic time.
	maxCompared = 64
)

// pruneUnknown removes the fields that the schema doesn't know and reports each, in the order of their paths.
func pruneUnknown(object map[string]any, s *structuralschema.Structural) field.ErrorList {
	var errs field.ErrorList
	known := slices.Sorted(maps.Keys(s.Properties))
	for _, name := range []string{"apiVersion", "kind", "metadata"} {
		if !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if name == "metadata" {
			errs = append(errs, pruneMetadata(object)...)
			continue
		}
		if !slices.Contains(known, name) {
			delete(object, name)
			errs = append(errs, unknownField(field.NewPath(name), name, known))
			continue
		}
		if property, ok := s.Properties[name]; ok {
			errs = append(errs, pruneValue(field.NewPath(name), object[name], &property)...)
		}
	}
	return errs
}

// pruneMetadata does the same for metadata, whose fields are ObjectMeta's.
func pruneMetadata(object map[string]any) field.ErrorList {
	meta, ok := object["metadata"].(map[string]any)
	if !ok {
		return nil // Its type is judged with the rest of metadata.
	}
	var errs field.ErrorList
	known := objectMetaFields()
	for _, name := range slices.Sorted(maps.Keys(meta)) {
		if !slices.Contains(known, name) {
			delete(meta, name)
			errs = append(errs, unknownField(field.NewPath("metadata", name), name, known))
		}
	}
	return errs
}

func pruneValue(path *field.Path, value any, s *structuralschema.Structural) field.ErrorList {
	if s.XPreserveUnknownFields {
		return nil
	}
	switch value := value.(type) {
	case map[string]any:
		return pruneMap(path, value, s)
	case []any:
		if s.Items == nil {
			return nil
		}
		var errs field.ErrorList
		for i := range value {
			errs = append(errs, pruneValue(path.Index(i), value[i], s.Items)...)
		}
		return errs
	}
	return nil
}

func pruneMap(path *field.Path, value map[string]any, s *structuralschema.Structural) field.ErrorList {
	// A map where the schema wants something else is a type error, not a set of unknown fields.
	if s.Type != "object" {
		return nil
	}
	var errs field.ErrorList
	if s.AdditionalProperties != nil {
		if s.AdditionalProperties.Structural == nil {
			return nil
		}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			errs = append(errs, pruneValue(path.Key(key), value[key], s.AdditionalProperties.Structural)...)
		}
		return errs
	}
	known := slices.Sorted(maps.Keys(s.Properties))
	for _, name := range slices.Sorted(maps.Keys(value)) {
		property, ok := s.Properties[name]
		if !ok {
			delete(value, name)
			errs = append(errs, unknownField(path.Child(name), name, known))
			continue
		}
		errs = append(errs, pruneValue(path.Child(name), value[name], &property)...)
	}
	return errs
}

// unknownField never quotes the field's value: it may be a secret that was put in the wrong place.
func unknownField(path *field.Path, name string, known []string) *field.Error {
	detail := "unknown field"
	if meant := nearest(name, known); meant != "" {
		detail = fmt.Sprintf("unknown field, did you mean %s?", meant)
	} else if len(known) > 0 && len(known) <= maxListed {
		detail = "unknown field, use one of: " + strings.Join(known, ", ")
	}
	return field.Forbidden(path, detail)
}

// nearest returns the name that was probably meant: the one with the fewest edits, case aside, if they are at most a
// third of its length; the first in order among equals, none where all are too far.
func nearest(name string, known []string) string {
	if len(name) > maxCompared {
		return ""
	}
	best, bestDistance := "", 0
	for _, candidate := range slices.Sorted(slices.Values(known)) {
		d := distance(strings.ToLower(name), strings.ToLower(candidate))
		if d > max(1, len(candidate)/3) {
			continue
		}
		if best == "" || d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is the number of edits between two strings: insert, delete, replace, or swap two neighbours (optimal string
// alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// objectMetaFields returns the JSON names of ObjectMeta's fields.
func objectMetaFields() []string {
	t := reflect.TypeFor[metav1.ObjectMeta]()
	names := make([]string, 0, t.NumField())
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
