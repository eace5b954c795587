package filesource

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"

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
		objects: map[identity]*object{}, places: map[identity]place{}, lost: map[string]int{},
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

// loader is one Load.
type loader struct {
	kinds    *kinds
	last     map[identity]*object
	objects  map[identity]*object
	places   map[identity]place // of every object, accepted or not
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
	if first, ok := l.places[id]; ok {
		finding.Message = fmt.Sprintf("is defined twice, first in %s: that one is used, remove one of the two", first)
		l.findings = append(l.findings, finding)
		return
	}
	l.places[id] = at
	if len(v.errs) == 0 {
		l.objects[id] = &object{identity: id, file: at.file, line: at.line, value: v.object}
		return
	}
	findings := finding.of(v.errs)
	if before, ok := l.last[id]; ok {
		l.objects[id] = before
		findings[0].Message += " (the version that was accepted before stays in force)"
	}
	l.findings = append(l.findings, findings...)
}

// keepLost keeps what a file held before, where it is not known what it holds now, but for what was found elsewhere.
func (l *loader) keepLost() {
	kept := map[string]int{}
	for id, before := range l.last {
		file, ok := l.lostAt(before.file)
		if _, found := l.places[id]; ok && !found {
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
