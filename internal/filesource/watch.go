package filesource

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long nothing may happen before a change is looked at: editors and volumes write in several steps.
	quiet = 100 * time.Millisecond
	// patience is how long changes may go on before they are looked at all the same.
	patience = time.Second
	// pollInterval is how often files are looked at where no event said so, for file systems that tell none.
	pollInterval = 10 * time.Second
	// maxLinks bounds a chain of symbolic links, as Linux does.
	maxLinks = 40
)

// Watch calls onChange whenever the files below the paths may have changed, and once when it has begun to watch, so that
// nothing is lost between the first Load and the first event. It notices files that are written in place, replaced by
// others, linked to (also when a link in between is turned, as in the volumes of ConfigMaps and Secrets), and directories
// that come and go. Calls come one after the other, not before the files were left alone for a moment, and only if there
// is a difference.
//
// It returns nil when the context ends. An error means that it could not begin.
func Watch(ctx context.Context, paths []string, onChange func()) error {
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch manifests: %w", err)
	}
	w := &watcher{notifier: notifier, onChange: onChange}
	for _, path := range paths {
		if path == stdinPath {
			continue
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return errors.Join(fmt.Errorf("watch manifests: %w", err), notifier.Close())
		}
		w.paths = append(w.paths, absolute)
	}
	if err := w.follow(); err != nil {
		return errors.Join(fmt.Errorf("watch manifests: %w", err), notifier.Close())
	}
	w.digest = digest(w.paths)
	onChange()
	w.run(ctx, notifier.Events, notifier.Errors)
	if err := notifier.Close(); err != nil {
		return fmt.Errorf("stop watching manifests: %w", err)
	}
	return nil
}

// watcher is used by one goroutine.
type watcher struct {
	paths    []string
	notifier *fsnotify.Watcher
	// interest are the names in a directory that matter; a directory that is absent matters as a whole. Paths are free
	// of symbolic links.
	interest map[string]map[string]bool
	digest   [sha256.Size]byte
	onChange func()
}

// run turns events and polls into calls of onChange until the context ends.
func (w *watcher) run(ctx context.Context, events <-chan fsnotify.Event, failures <-chan error) {
	settled := time.NewTimer(quiet)
	settled.Stop()
	defer settled.Stop()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	var since time.Time // of the first event or poll that was not looked at
	for {
		select {
		case <-ctx.Done():
			return
		case event, ok := <-events:
			if !ok {
				events = nil // polling is left
				continue
			}
			if !w.matters(event.Name) {
				continue
			}
		case _, ok := <-failures:
			if !ok {
				failures = nil
				continue
			}
			// Events were lost, so that nobody knows what changed: look.
		case <-poll.C:
			// What nobody told of may be half written as well: this waits for quiet as an event does.
			if !since.IsZero() {
				continue // something did tell, and is being waited for
			}
		case <-settled.C:
			since = time.Time{}
			w.look()
			continue
		}
		now := time.Now()
		if since.IsZero() {
			since = now
		}
		settled.Reset(min(quiet, max(0, patience-now.Sub(since))))
	}
}

func (w *watcher) matters(name string) bool {
	names, ok := w.interest[filepath.Dir(name)]
	return !ok || names[filepath.Base(name)]
}

// look calls onChange if there is a difference. Directories are followed before the files are read, so that what is
// written later makes an event. A directory that can't be followed is looked at by polling.
func (w *watcher) look() {
	_ = w.follow()
	if now := digest(w.paths); now != w.digest {
		w.digest = now
		w.onChange()
	}
}

// follow brings the watched directories up to date: those with manifests as a whole, and of those on the way to a path
// the names that lead there.
func (w *watcher) follow() error {
	w.interest = map[string]map[string]bool{}
	for _, path := range w.paths {
		w.addInterest(path)
	}
	var errs []error
	var whole []string
	wanted := map[string]bool{}
	for _, path := range w.paths {
		found, err := list([]string{path})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, directory := range found.directories {
			if directory, err := filepath.EvalSymlinks(directory); err == nil { // else it went meanwhile
				whole = append(whole, directory)
			}
		}
		for _, path := range slices.Concat(found.files, found.directories) {
			w.addInterest(path)
		}
	}
	for _, directory := range whole {
		delete(w.interest, directory)
		wanted[directory] = true
	}
	for directory := range w.interest {
		wanted[directory] = true
	}
	return errors.Join(append(errs, w.watch(wanted))...)
}

// watch makes events come from these directories, and from no others.
func (w *watcher) watch(wanted map[string]bool) error {
	for _, directory := range w.notifier.WatchList() {
		if !wanted[directory] {
			// It may be gone, which ends its watch as well.
			_ = w.notifier.Remove(directory)
		}
	}
	var errs []error
	for directory := range wanted {
		// A directory that was replaced by another has lost its watch; adding one that is there does no harm.
		if err := w.notifier.Add(directory); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("watch %q: %w", directory, err))
		}
	}
	return errors.Join(errs...)
}

// addInterest notes what an absolute path leads to, and every symbolic link on the way.
func (w *watcher) addInterest(path string) {
	const separator = string(filepath.Separator)
	note := func(path string) {
		directory, name := filepath.Dir(path), filepath.Base(path)
		if w.interest[directory] == nil {
			w.interest[directory] = map[string]bool{}
		}
		w.interest[directory][name] = true
	}
	resolved, rest := separator, strings.Split(path, separator)
	for links := 0; len(rest) > 0; {
		next := filepath.Join(resolved, rest[0])
		rest = rest[1:]
		target, err := os.Readlink(next)
		if err != nil { // no link
			resolved = next
			continue
		}
		note(next)
		if links++; links > maxLinks {
			return
		}
		if filepath.IsAbs(target) {
			resolved = separator
		}
		rest = append(strings.Split(target, separator), rest...)
	}
	note(resolved)
}

// digest is a fingerprint of everything that Load would read.
func digest(paths []string) [sha256.Size]byte {
	hash := sha256.New()
	for _, path := range paths {
		found, err := list([]string{path})
		_, _ = fmt.Fprintf(hash, "path %q: %v\n", path, err)
		for _, file := range found.files {
			data, err := readFile(file)
			_, _ = fmt.Fprintf(hash, "file %q: %d bytes, %v\n", file, len(data), err)
			hash.Write(data)
		}
		for _, directory := range slices.Sorted(maps.Keys(found.unreadable)) {
			_, _ = fmt.Fprintf(hash, "directory %q: %v\n", directory, found.unreadable[directory])
		}
	}
	var sum [sha256.Size]byte
	hash.Sum(sum[:0])
	return sum
}
