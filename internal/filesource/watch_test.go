package filesource

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched is a Watch that runs.
type watched struct {
	changes chan struct{}
}

// startWatching returns when Watch has begun.
func startWatching(t *testing.T, paths ...string) *watched {
	t.Helper()
	w := &watched{changes: make(chan struct{}, 100)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Watch(ctx, paths, func() { w.changes <- struct{}{} }) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})
	w.expect(t, "the beginning")
	return w
}

// expect waits for a call of onChange, for less time than until the next poll.
func (w *watched) expect(t *testing.T, what string) {
	t.Helper()
	select {
	case <-w.changes:
	case <-time.After(pollInterval * 9 / 10):
		t.Fatalf("%s: no change was noticed", what)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o600))
}

// Every change that people, editors and volumes make is noticed by itself, one after the other.
func TestWatchNoticesEveryKindOfChange(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "manifests")
	must(t, os.Mkdir(directory, 0o755))
	file := func(name string) string { return filepath.Join(directory, name) }
	w := startWatching(t, directory)
	for _, change := range []struct {
		name string
		do   func()
	}{
		{"a new file", func() { put(t, file("a.yaml"), "a: 1") }},
		{"a file written in place", func() { put(t, file("a.yaml"), "a: 2") }},
		{"a file replaced, as editors do", func() {
			put(t, file(".a.yaml.new"), "a: 3")
			must(t, os.Rename(file(".a.yaml.new"), file("a.yaml")))
		}},
		{"a new directory with a file", func() {
			must(t, os.Mkdir(file("below"), 0o755))
			put(t, file("below/b.yaml"), "b: 1")
		}},
		{"a file in the new directory", func() { put(t, file("below/b.yaml"), "b: 2") }},
		{"a directory moved in", func() {
			other := t.TempDir()
			must(t, os.Mkdir(filepath.Join(other, "c"), 0o755))
			put(t, filepath.Join(other, "c", "c.yaml"), "c: 1")
			must(t, os.Rename(filepath.Join(other, "c"), file("c")))
		}},
		{"a file in the directory moved in", func() { put(t, file("c/c.yaml"), "c: 2") }},
		{"a directory removed", func() { must(t, os.RemoveAll(file("c"))) }},
		{"a file renamed", func() { must(t, os.Rename(file("a.yaml"), file("z.yaml"))) }},
		{"a file removed", func() { must(t, os.Remove(file("z.yaml"))) }},
		{"the directory removed", func() { must(t, os.RemoveAll(directory)) }},
		{"the directory made again", func() {
			must(t, os.Mkdir(directory, 0o755))
			put(t, file("a.yaml"), "a: 4")
		}},
		{"a file in the directory made again", func() { put(t, file("a.yaml"), "a: 5") }},
	} {
		change.do()
		w.expect(t, change.name)
	}
}

// The volume of a ConfigMap or Secret changes by turning one symbolic link.
func TestWatchNoticesVolumes(t *testing.T) {
	directory := t.TempDir()
	file := func(name string) string { return filepath.Join(directory, name) }
	version := func(name, content string) {
		t.Helper()
		must(t, os.MkdirAll(file(name+"/below"), 0o755))
		put(t, file(name+"/a.yaml"), content)
		put(t, file(name+"/below/b.yaml"), content)
	}
	turn := func(name string) {
		t.Helper()
		must(t, os.Symlink(name, file("..data_tmp")))
		must(t, os.Rename(file("..data_tmp"), file("..data")))
	}
	version("..v1", "a: 1")
	turn("..v1")
	must(t, os.Symlink("..data/a.yaml", file("a.yaml")))
	must(t, os.Symlink("..data/below", file("below")))

	whole := startWatching(t, directory)
	single := startWatching(t, file("a.yaml"))
	for _, next := range []string{"..v2", "..v3"} {
		version(next, "a: "+next)
		turn(next)
		whole.expect(t, "the volume turned to "+next)
		single.expect(t, "the volume with the single file turned to "+next)
	}
	put(t, file("..v3/a.yaml"), "a: 4")
	whole.expect(t, "a file behind the link")
	single.expect(t, "the single file behind the link")
	put(t, file("..v3/below/b.yaml"), "b: 4")
	whole.expect(t, "a file in a directory behind the link")
}

func TestWatchNoticesSingleFiles(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "orders.manifest")
	elsewhere := filepath.Join(t.TempDir(), "elsewhere.yaml")
	put(t, file, "a: 1")
	put(t, elsewhere, "b: 1")
	must(t, os.Symlink(elsewhere, filepath.Join(directory, "link.yaml")))
	w := startWatching(t, file, "-", filepath.Join(directory, "link.yaml"))

	put(t, file, "a: 2")
	w.expect(t, "written in place")
	put(t, file+".new", "a: 3")
	must(t, os.Rename(file+".new", file))
	w.expect(t, "replaced")
	must(t, os.Remove(file))
	w.expect(t, "removed")
	put(t, file, "a: 4")
	w.expect(t, "made again")
	put(t, elsewhere, "b: 2")
	w.expect(t, "written behind a link to another directory")
}

// What makes no difference is not told: other files beside, the same content again, editors' own files.
func TestWatchIsSilentWithoutADifference(t *testing.T) {
	directory := t.TempDir()
	put(t, filepath.Join(directory, "a.yaml"), "a: 1")
	w := startWatching(t, directory)
	put(t, filepath.Join(directory, ".a.yaml.swp"), "x")
	put(t, filepath.Join(directory, "notes.txt"), "x")
	put(t, filepath.Join(directory, "a.yaml"), "a: 1")
	put(t, filepath.Join(directory, "b.yaml"), "b: 1") // a difference, told once with all of the above
	w.expect(t, "the only difference")
	put(t, filepath.Join(directory, "b.yaml"), "b: 2")
	w.expect(t, "the next difference")
	if n := len(w.changes); n > 0 {
		t.Errorf("%d more changes were told", n)
	}
}

func TestWatchFailsWhereThereIsNothing(t *testing.T) {
	err := Watch(t.Context(), []string{filepath.Join(t.TempDir(), "absent")}, func() { t.Error("onChange was called") })
	if err == nil {
		t.Error("no error")
	}
}

func TestWatchLooksBeforeThingsAreQuiet(t *testing.T) {
	directory := t.TempDir()
	w := startWatching(t, directory)
	stop := make(chan struct{})
	writing := make(chan error, 1)
	go func() {
		var err error
		for i := 0; err == nil; i++ {
			select {
			case <-stop:
				writing <- nil
				return
			default:
				err = os.WriteFile(filepath.Join(directory, "a.yaml"), []byte{byte('a' + i%26)}, 0o600)
			}
		}
		writing <- err
	}()
	w.expect(t, "a file that is written all the time")
	close(stop)
	must(t, <-writing)
}

// A poll waits until nothing is being written, as an event does; without events it is all there is.
func TestPollsWaitWhileSomethingIsBeingWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	put(t, file, "a: 1")
	notifier, err := fsnotify.NewWatcher() // outside of the bubble: it waits for the kernel
	must(t, err)
	defer func() { must(t, notifier.Close()) }()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var looked []time.Duration
		w := &watcher{
			paths:    []string{file},
			notifier: notifier,
			onChange: func() { looked = append(looked, time.Since(began)) },
		}
		must(t, w.follow())
		w.digest = digest(w.paths)
		events := make(chan fsnotify.Event)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx, events, nil)
		}()

		<-time.After(pollInterval - quiet/2)
		put(t, file, "a: [half")
		events <- fsnotify.Event{Name: file, Op: fsnotify.Write}
		<-time.After(quiet * 3 / 4) // the poll is in between
		put(t, file, "a: [whole]")
		events <- fsnotify.Event{Name: file, Op: fsnotify.Write}
		<-time.After(pollInterval / 2)
		put(t, file, "a: 3") // no event tells of it
		<-time.After(pollInterval)
		stop()
		<-done
		want := []time.Duration{pollInterval + quiet/4 + quiet, 2*pollInterval + quiet}
		if diff := cmp.Diff(want, looked); diff != "" {
			t.Errorf("looked at (-want +got):\n%s", diff)
		}
	})
}
