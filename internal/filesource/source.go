package filesource

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/ostiary/ostiary/config/crd"
	"github.com/ostiary/ostiary/internal/crdvalidate"
)

// ErrNoPaths says that there is nothing to read.
var ErrNoPaths = errors.New("no manifests: name a file, a directory, or - for standard input")

// Source reads the same files again and again. Its methods must not be called at the same time.
type Source struct {
	paths []string
	kinds *kinds
	// stdin holds what was on standard input, which can be read once only.
	stdin []byte
	// last holds what was accepted by the Load before.
	last map[identity]*object
}

// NewSource prepares to read the given files and directories; "-" is standard input, which is read here and now.
func NewSource(paths []string, stdin io.Reader) (*Source, error) {
	if len(paths) == 0 {
		return nil, ErrNoPaths
	}
	s := &Source{paths: slices.Clone(paths)}
	if slices.Contains(paths, stdinPath) {
		if stdin == nil {
			return nil, errors.New("read standard input: there is none")
		}
		var err error
		if s.stdin, err = readBounded(stdin); err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
	}
	crds, err := crd.CRDs()
	if err != nil {
		return nil, fmt.Errorf("prepare validation: %w", err)
	}
	validator, err := crdvalidate.New(crds...)
	if err != nil {
		return nil, fmt.Errorf("prepare validation: %w", err)
	}
	s.kinds = newKinds(validator)
	return s, nil
}

// Format writes the paths, whatever the verb: what was read from them holds secrets.
func (s *Source) Format(state fmt.State, _ rune) { _, _ = fmt.Fprintf(state, "Source(%q)", s.paths) }

// LogValue is as Format.
func (s *Source) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// Load reads files and directories once; "-" is standard input. Use a Source to follow changes.
func Load(paths []string, stdin io.Reader) (*World, []Finding, error) {
	s, err := NewSource(paths, stdin)
	if err != nil {
		return nil, nil, err
	}
	return s.Load()
}

// Load reads everything anew. The Findings are sorted by place. An error means that a given path can't be looked into at
// all; whoever has a World already should go on with it.
func (s *Source) Load() (*World, []Finding, error) {
	found, err := list(s.paths)
	if err != nil {
		return nil, nil, err
	}
	l := &loader{
		kinds: s.kinds, last: s.last,
		objects: map[identity]*object{}, found: map[identity][]definition{}, lost: map[string]int{},
	}
	if slices.Contains(s.paths, stdinPath) {
		l.addFile(stdinName, s.stdin)
	}
	for _, file := range found.files {
		data, err := readFile(file)
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted since it was listed
		case err != nil:
			l.unreadable(file, err)
		default:
			l.addFile(file, data)
		}
	}
	for _, directory := range slices.Sorted(maps.Keys(found.unreadable)) {
		l.unreadable(directory, found.unreadable[directory])
	}
	for id, definitions := range l.found {
		l.settle(id, definitions)
	}
	l.keepLost()
	sortFindings(l.findings)
	s.last = l.objects
	return newWorld(l.objects), l.findings, nil
}

// place is where an object is defined.
type place struct {
	file string
	line int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// definition is an object at a place. It is accepted if there are no errs.
type definition struct {
	place
	value metav1.Object
	errs  field.ErrorList
}

// loader is one Load.
type loader struct {
	kinds    *kinds
	last     map[identity]*object
	objects  map[identity]*object
	found    map[identity][]definition // of every object, accepted or not, in the order of files and lines
	findings []Finding
	// lost has, for each file whose content is not fully known, the index of the Finding that says so first.
	lost map[string]int
}

// unreadable notes a file, or a directory, that can't be read.
func (l *loader) unreadable(path string, err error) {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err // the Finding names the path already
	}
	l.lose(Finding{File: path, Message: fmt.Sprintf("can't be read: %v", err)})
}

// lose adds a Finding about a document of which nobody knows what it holds.
func (l *loader) lose(f Finding) {
	if _, ok := l.lost[f.File]; !ok {
		l.lost[f.File] = len(l.findings)
	}
	l.findings = append(l.findings, f)
}

func (l *loader) addFile(file string, data []byte) {
	for _, d := range splitDocuments(data) {
		at := place{file: file, line: d.line}
		value, err := d.decode()
		if err != nil {
			l.lose(Finding{File: file, Line: d.line, Message: err.Error()})
			continue
		}
		if value == nil {
			continue
		}
		content, ok := value.(map[string]any)
		if !ok {
			l.lose(Finding{File: file, Line: d.line, Message: "is no object: write apiVersion, kind, metadata and spec"})
			continue
		}
		l.addContent(at, &unstructured.Unstructured{Object: content})
	}
}

// addContent takes lists apart, as `kubectl get -o yaml` writes them.
func (l *loader) addContent(at place, u *unstructured.Unstructured) {
	kindOfItems, isList := strings.CutSuffix(u.GetKind(), "List")
	if !isList || !u.IsList() {
		l.addObject(at, u)
		return
	}
	items, _ := u.Object["items"].([]any)
	for i, item := range items {
		content, ok := item.(map[string]any)
		if !ok {
			l.lose(Finding{
				File: at.file, Line: at.line, Kind: u.GetKind(),
				Field: field.NewPath("items").Index(i).String(), Message: "is no object",
			})
			continue
		}
		o := &unstructured.Unstructured{Object: content}
		if o.GetKind() == "" && kindOfItems != "" { // the items of a SecretList need not say that they are Secrets
			o.SetAPIVersion(u.GetAPIVersion())
			o.SetKind(kindOfItems)
		}
		l.addContent(at, o)
	}
}

func (l *loader) addObject(at place, u *unstructured.Unstructured) {
	v := l.kinds.read(u)
	id := v.identity
	finding := Finding{File: at.file, Line: at.line, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
	if v.ignored != "" {
		finding.Severity, finding.Message = SeverityWarning, v.ignored
		l.findings = append(l.findings, finding)
		return
	}
	if len(v.errs) > 0 && id.incomplete() {
		for _, f := range finding.of(v.errs) {
			l.lose(f)
		}
		return
	}
	if v.object == nil && len(v.errs) == 0 {
		return
	}
	l.found[id] = append(l.found[id], definition{place: at, value: v.object, errs: v.errs})
}

// settle chooses among the definitions of one object. A copy never replaces what is in force: it could be one without the
// protection that the other has.
func (l *loader) settle(id identity, definitions []definition) {
	before := l.last[id]
	chosen := definitions[0]
	if before != nil {
		chosen = slices.MaxFunc(definitions, func(a, b definition) int { return cmp.Compare(a.likeness(before), b.likeness(before)) })
		if _, lost := l.lostAt(before.file); lost && chosen.file != before.file && len(chosen.errs) == 0 {
			delete(l.found, id) // as if there were none: keepLost keeps the one before
			for _, d := range definitions {
				f := d.finding(id)
				f.Message = fmt.Sprintf("stays in force as it was in %s, of which it is not known whether it still defines it: mend that file first", before.file)
				l.findings = append(l.findings, f)
			}
			return
		}
	}
	for _, d := range definitions {
		if d.place != chosen.place {
			f := d.finding(id)
			f.Message = fmt.Sprintf("is defined twice, also in %s: that one is used, remove one of the two", chosen.place)
			l.findings = append(l.findings, f)
		}
	}
	if len(chosen.errs) == 0 {
		l.objects[id] = &object{identity: id, file: chosen.file, line: chosen.line, value: chosen.value}
		return
	}
	findings := chosen.finding(id).of(chosen.errs)
	if before != nil {
		l.objects[id] = before
		findings[0].Message += " (the version that was accepted before stays in force)"
	}
	l.findings = append(l.findings, findings...)
}

// likeness says how likely a definition is the one that is in force: it is in the same file, says the same, is in the
// same line, the first of these deciding.
func (d definition) likeness(before *object) int {
	n := 0
	if d.file == before.file {
		n += 4
	}
	if reflect.DeepEqual(d.value, before.value) {
		n += 2
	}
	if d.line == before.line {
		n++
	}
	return n
}

// finding is about this definition, without a message.
func (d definition) finding(id identity) Finding {
	return Finding{File: d.file, Line: d.line, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
}

// keepLost keeps what a file held before, where it is not known what it holds now, but for what was found elsewhere.
func (l *loader) keepLost() {
	kept := map[string]int{}
	for id, before := range l.last {
		file, ok := l.lostAt(before.file)
		if _, found := l.found[id]; ok && !found {
			l.objects[id] = before
			kept[file]++
		}
	}
	for file, count := range kept {
		f := &l.findings[l.lost[file]]
		f.Message += fmt.Sprintf(" (objects that were accepted from here before and stay in force: %d)", count)
	}
}

// lostAt returns the file, or the directory above it, that could not be read.
func (l *loader) lostAt(file string) (string, bool) {
	for path := range l.lost {
		if path == file || isBelow(file, path) {
			return path, true
		}
	}
	return "", false
}

// of returns a Finding for each error.
func (f Finding) of(errs field.ErrorList) []Finding {
	findings := make([]Finding, 0, len(errs))
	for _, err := range errs {
		f.Field, f.Message = err.Field, err.ErrorBody()
		if f.Field == "<nil>" {
			f.Field = ""
		}
		findings = append(findings, f)
	}
	return findings
}
