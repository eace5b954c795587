//go:build linux

package bed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The bed runs copies of its own executable in other roles; argv[0] names them,
// so that neither flags nor environment of the host program get in the way.
const (
	roleNamespaceInit = "bed-namespace-init"
	rolePodInit       = "bed-pod-init"
	rolePodExec       = "bed-pod-exec"
)

// insideVariable holds the identity of the network namespace that EnterNamespace
// made, so that a stale value is noticed.
const insideVariable = "OSTIARY_BED_NAMESPACE"

// ErrUnsupported says that this machine does not allow what the bed is made of:
// new network, mount and process namespaces, or the programs that set them up.
// The wrapping error gives the reason.
var ErrUnsupported = errors.New("the test bed can't run here")

// Main runs the roles that the bed gives to copies of its executable and does not
// return from them. It returns at once in every other process. Every program and
// TestMain that uses the bed calls it before anything else.
func Main() {
	if len(os.Args) == 0 {
		return
	}
	switch os.Args[0] {
	case roleNamespaceInit:
		os.Exit(namespaceInit())
	case rolePodInit:
		podInit()
	case rolePodExec:
		podExec()
	}
}

// Inside reports whether this process runs in a namespace made by EnterNamespace.
func Inside() bool {
	value := os.Getenv(insideVariable)
	return value != "" && value == networkNamespace()
}

func networkNamespace() string {
	link, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return ""
	}
	return link
}

// EnterNamespace runs this program again, same arguments, in fresh network, mount
// and process namespaces: nothing leaves the machine, and everything started
// inside ends with it. Without root it adds a user namespace in which the caller
// is root and the only user.
//
// It returns nil inside the namespace. Outside it forwards signals, waits and ends
// the process with the exit code of the inner one. It returns an error that wraps
// ErrUnsupported when the machine allows neither way.
func EnterNamespace() error {
	if Inside() {
		return nil
	}
	code, err := runInside()
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

// runInside returns the exit code of this program run inside a new namespace.
func runInside() (int, error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return 0, fmt.Errorf("%w: the ip command (iproute2) is missing", ErrUnsupported)
	}
	var reasons []string
	if os.Geteuid() == 0 {
		code, err := runInNamespace(0)
		if err == nil {
			return code, nil
		}
		reasons = append(reasons, "as root: "+err.Error())
	}
	code, err := runInNamespace(syscall.CLONE_NEWUSER)
	if err == nil {
		return code, nil
	}
	reasons = append(reasons, "in a user namespace: "+err.Error())
	return 0, fmt.Errorf("%w: %s (where user namespaces are restricted, run as root or set the sysctls "+
		"kernel.apparmor_restrict_unprivileged_userns=0 and user.max_user_namespaces)", ErrUnsupported, strings.Join(reasons, "; "))
}

// runInNamespace returns the exit code of this program run inside, or an error if
// it never got there.
func runInNamespace(extraFlags uintptr) (int, error) {
	status, childStatus, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("make a pipe: %w", err)
	}
	defer status.Close()

	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{roleNamespaceInit}, os.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{childStatus}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | extraFlags,
		Pdeathsig:  syscall.SIGKILL,
	}
	if extraFlags&syscall.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}

	// The death signal is tied to the thread that starts the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)

	err = cmd.Start()
	childStatus.Close()
	if err != nil {
		return 0, fmt.Errorf("make namespaces: %w", err)
	}
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		for {
			select {
			case s := <-signals:
				// An error means that the process has ended, which Wait reports.
				_ = cmd.Process.Signal(s)
			case <-finished:
				return
			}
		}
	}()
	problem, readErr := io.ReadAll(status)
	waitErr := cmd.Wait()
	if readErr != nil {
		return 0, fmt.Errorf("read the state of the namespace: %w", readErr)
	}
	if len(problem) > 0 {
		return 0, errors.New(string(problem))
	}
	if _, exited := errors.AsType[*exec.ExitError](waitErr); waitErr != nil && !exited {
		return 0, fmt.Errorf("wait for the namespace: %w", waitErr)
	}
	return exitCode(cmd.ProcessState.Sys().(syscall.WaitStatus)), nil
}

func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// namespaceInit is process 1 of the namespace: it makes it usable, runs the
// program, passes signals on and reaps what the program leaves behind. The kernel
// kills everything else in the namespace when it ends.
func namespaceInit() int {
	status := os.NewFile(3, "status")
	syscall.CloseOnExec(3)
	if err := prepareNamespace(); err != nil {
		fmt.Fprint(status, err)
		return 1
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	process, err := os.StartProcess("/proc/self/exe", os.Args[1:], &os.ProcAttr{
		Env:   append(os.Environ(), insideVariable+"="+networkNamespace()),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		fmt.Fprintf(status, "start the program: %v", err)
		return 1
	}
	status.Close()
	go func() {
		for s := range signals {
			// An error means that the process has ended, which the loop below sees.
			_ = process.Signal(s)
		}
	}()
	for {
		var result syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &result, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "bed: wait for the program:", err)
			return 1
		case pid == process.Pid:
			return exitCode(result)
		}
	}
}

func prepareNamespace() error {
	// Mounts made here must not show outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return ipBatch(context.Background(), "link set lo up")
}

// checkIsolated refuses a network namespace that the machine's own interfaces are
// in: the bed takes whole address ranges for itself.
func checkIsolated() error {
	if !Inside() {
		return errors.New("refusing to run in the machine's network namespace: call EnterNamespace first")
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list network interfaces: %w", err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			return fmt.Errorf("refusing to run beside network interface %q: want a network namespace with loopback only", i.Name)
		}
	}
	return nil
}

// TestRunner is the part of *testing.M that RunTests needs.
type TestRunner interface {
	// Run runs the tests and returns an exit code.
	Run() int
}

// RunTests is the body of a TestMain whose tests use the bed: it runs prepare
// outside of the namespace, where compiling and downloading are possible, then the
// tests inside, and returns the exit code. Prepare may use dir, which lasts as long
// as the tests, and hands results on through the environment (os.Setenv).
//
// Where the bed is not supported it says so on standard error and returns 0
// without running a test, or 1 if CI is set: a CI run never skips.
func RunTests(m TestRunner, prepare func(ctx context.Context, dir string) error) int {
	Main()
	if Inside() {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "ostiary-bed-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: make a folder for the test bed:", err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err = prepare(ctx, dir)
	stop()
	code := 1
	if err != nil {
		err = fmt.Errorf("prepare the test bed: %w", err)
	} else {
		code, err = runInside()
	}
	if errors.Is(err, ErrUnsupported) && os.Getenv("CI") == "" {
		fmt.Fprintf(os.Stderr, "SKIP: NO TEST OF THIS PACKAGE RUNS: %v\n", err)
		code, err = 0, nil
	}
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		return 1
	}
	return code
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
