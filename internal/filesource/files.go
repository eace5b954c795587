package filesource

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// stdinPath names standard input among the paths, and stdinName in Findings.
	stdinPath = "-"
	stdinName = "(standard input)"
	// maxFileBytes bounds a file. Larger ones are no manifests.
	maxFileBytes = 64 << 20
)

var errFileTooLarge = fmt.Errorf("larger than %d MiB", maxFileBytes>>20)

// listing is what is found below some paths.
type listing struct {
	// files, in the order of the paths and sorted by name within each, every one once.
	files []string
	// directories that were looked into.
	directories []string
	// unreadable are directories below the paths that can't be listed.
	unreadable map[string]error

	seen map[string]bool // the files
}

// list finds the files: a path that is a file stands for itself, a directory for all files in and below it that end in
// .yaml, .yml or .json. Names that begin with a dot are left out, and so are Kustomize's own files. Standard input is not
// listed. A path that does not exist is an error.
func list(paths []string) (listing, error) {
	l := listing{unreadable: map[string]error{}, seen: map[string]bool{}}
	for _, path := range paths {
		if path == stdinPath {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return listing{}, fmt.Errorf("find manifests: %w", err)
		}
		if !info.IsDir() {
			l.add(path)
			continue
		}
		if err := l.addDirectory(path, nil); err != nil {
			return listing{}, fmt.Errorf("find manifests: %w", err)
		}
	}
	return l, nil
}

func (l *listing) add(file string) {
	if file = filepath.Clean(file); !l.seen[file] {
		l.seen[file] = true
		l.files = append(l.files, file)
	}
}

// addDirectory follows symbolic links, since that is what the files of a mounted ConfigMap are, but not into one of the
// directories that it came through.
func (l *listing) addDirectory(directory string, through []string) error {
	resolved, err := filepath.EvalSymlinks(directory)
	if err != nil {
		return err
	}
	if slices.Contains(through, resolved) {
		return nil
	}
	through = append(slices.Clone(through), resolved)
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	l.directories = append(l.directories, filepath.Clean(directory))
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		path := filepath.Join(directory, entry.Name())
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // went meanwhile, or a link to nothing
		case err != nil:
			l.unreadable[path] = err
		case info.IsDir():
			if err := l.addDirectory(path, through); err != nil && !errors.Is(err, fs.ErrNotExist) {
				l.unreadable[path] = err
			}
		case info.Mode().IsRegular() && isManifest(entry.Name()):
			l.add(path)
		}
	}
	return nil
}

func isManifest(name string) bool {
	switch strings.TrimSuffix(name, filepath.Ext(name)) {
	case "kustomization", "Kustomization":
		return false
	}
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// readFile reads a file of bounded size.
func readFile(name string) (data []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return readBounded(f)
}

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, errFileTooLarge
	}
	return data, nil
}

// isBelow reports whether a clean path lies below a directory.
func isBelow(path, directory string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(directory, string(filepath.Separator))+string(filepath.Separator))
}
