//go:build linux

package bed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// podNamespaces are what a pod's process does not share with the bed. It is
// process 1 of its process namespace, as in a container: everything it starts ends
// with it, and a signal that it doesn't handle is ignored.
const podNamespaces = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// processSpec is what pod-init needs to become a pod's program. It may hold
// secrets and is only ever written to a pipe.
type processSpec struct {
	Root         string // root folder, outside
	ReadOnlyRoot bool
	Mounts       []mount
	Hostname     string
	Address      string
	Argv         []string // none: only wait
	Dir          string
	Env          []string
	User         user
}

// mount puts a file or folder of the machine at a path of the pod.
type mount struct {
	Source, Target string
	ReadOnly       bool
}

// user is who the process runs as.
type user struct {
	UID, GID int
	Groups   []int
	// Unchanged leaves the process the (only) user of the namespace.
	Unchanged bool
}

// process is a running pod process.
type process struct {
	pid     int
	spec    *processSpec
	logPath string
	done    chan struct{}
	result  syscall.WaitStatus // once done is closed
}

// startProcess returns when the pod's program runs, or why it can't. The mode says
// whether the log is appended to or truncated.
func startProcess(ctx context.Context, spec *processSpec, logPath string, mode int) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND|mode, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the pod's log: %w", err)
	}
	defer log.Close()
	specReader, specWriter, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer specReader.Close()
	defer specWriter.Close()
	status, statusWriter, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer status.Close()

	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{rolePodInit}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{specReader, statusWriter}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: podNamespaces, Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	statusWriter.Close()
	if err != nil {
		return nil, fmt.Errorf("start pod-init: %w", err)
	}
	p := &process{pid: cmd.Process.Pid, spec: spec, logPath: logPath, done: make(chan struct{})}
	go func() { // ends with the process
		// The state below says more than the error.
		_ = cmd.Wait()
		p.result = cmd.ProcessState.Sys().(syscall.WaitStatus)
		close(p.done)
	}()
	if err := p.hand(ctx, spec, specWriter, status); err != nil {
		p.kill()
		<-p.done
		return nil, err
	}
	return p, nil
}

// hand gives pod-init its network interface and its spec, and waits until it has
// become the pod's program.
func (p *process) hand(ctx context.Context, spec *processSpec, to io.WriteCloser, status io.Reader) error {
	if err := connectPod(ctx, p.pid); err != nil {
		return fmt.Errorf("connect the pod: %w", err)
	}
	if err := json.NewEncoder(to).Encode(spec); err != nil {
		return fmt.Errorf("hand over to pod-init: %w", err)
	}
	if err := to.Close(); err != nil {
		return fmt.Errorf("hand over to pod-init: %w", err)
	}
	problem, err := io.ReadAll(status)
	if err != nil {
		return fmt.Errorf("read what pod-init says: %w", err)
	}
	if len(problem) > 0 {
		return errors.New(string(problem))
	}
	return nil
}

// ended is closed when the process has ended; nil for no process.
func (p *process) ended() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.done
}

// signal does nothing if the process has ended.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done:
		// The number may belong to another process by now.
	default:
		// The only error left is that it has just ended.
		_ = syscall.Kill(p.pid, s)
	}
}

func (p *process) kill() { p.signal(syscall.SIGKILL) }

// lastOutput is the end of the process's log.
func (p *process) lastOutput() string {
	const limit = 1024
	file, err := os.Open(p.logPath)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > limit {
		if _, err := file.Seek(-limit, io.SeekEnd); err != nil {
			return ""
		}
	}
	content, err := io.ReadAll(io.LimitReader(file, limit))
	if err != nil {
		return ""
	}
	return string(content)
}

// exec runs a program of the pod's root folder in its namespaces, as a hook or
// probe, and returns an error that holds what it printed if it fails.
func (p *process) exec(ctx context.Context, argv []string) error {
	if len(argv) == 0 {
		return errors.New("no command")
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer reader.Close()
	defer writer.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{rolePodExec}
	cmd.ExtraFiles = []*os.File{reader}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	spec := execSpec{PID: p.pid, Argv: argv, Env: p.spec.Env, User: p.spec.User}
	go func() {
		// A process that ends early breaks the pipe; its end tells.
		_ = json.NewEncoder(writer).Encode(spec)
		_ = writer.Close()
	}()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w: %s", argv[0], err, out)
	}
	return nil
}
