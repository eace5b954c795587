//go:build linux

package bed

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// podInit is process 1 of a pod: it waits for its network interface and its spec,
// sets up the root folder and becomes the pod's program. It does not return.
func podInit() {
	// The user is set for this thread alone, and it is this one that execs.
	runtime.LockOSThread()
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(4)
	status := os.NewFile(4, "status")
	err := becomePod(os.NewFile(3, "spec"), status)
	fmt.Fprintf(status, "pod-init: %v", err)
	os.Exit(128)
}

// becomePod returns only if it fails.
func becomePod(specs, status *os.File) error {
	var spec processSpec
	if err := json.NewDecoder(specs).Decode(&spec); err != nil {
		return fmt.Errorf("read the spec: %w", err)
	}
	unix.Umask(0)
	if err := configurePodNetwork(context.Background(), spec.Address); err != nil {
		return err
	}
	// As container runtimes do: no program needs a privilege for port 80.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0o644); err != nil {
		return fmt.Errorf("allow all ports: %w", err)
	}
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := setUpRoot(&spec); err != nil {
		return fmt.Errorf("set up the root folder: %w", err)
	}
	if err := unix.Chroot(spec.Root); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := os.Chdir(cmp.Or(spec.Dir, "/")); err != nil {
		return err
	}
	unix.Umask(0o022)
	if len(spec.Argv) == 0 {
		pause(status)
	}
	if err := spec.User.become(); err != nil {
		return err
	}
	return execve(spec.Argv, spec.Env)
}

// pause waits for the signal to end.
func pause(status *os.File) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	status.Close()
	<-signals
	os.Exit(0)
}

// setUpRoot fills the root folder with what a program expects to find there.
func setUpRoot(spec *processSpec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// A mount of its own can be made read-only.
	if err := unix.Mount(spec.Root, spec.Root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the root folder: %w", err)
	}
	for dir, mode := range map[string]os.FileMode{"proc": 0o555, "dev": 0o755, "etc": 0o755, "tmp": 0o777 | os.ModeSticky} {
		if err := os.MkdirAll(filepath.Join(spec.Root, dir), mode); err != nil {
			return err
		}
	}
	hosts := "127.0.0.1\tlocalhost\n" + spec.Address + "\t" + spec.Hostname + "\n"
	if err := os.WriteFile(filepath.Join(spec.Root, "etc", "hosts"), []byte(hosts), 0o644); err != nil {
		return err
	}
	if err := unix.Mount("proc", filepath.Join(spec.Root, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, device := range []string{"null", "zero", "random", "urandom"} {
		if err := bind(mount{Source: "/dev/" + device, Target: "/dev/" + device}, spec.Root); err != nil {
			return err
		}
	}
	// Outer mount points before those inside of them.
	slices.SortFunc(spec.Mounts, func(a, b mount) int { return cmp.Compare(len(filepath.Clean(a.Target)), len(filepath.Clean(b.Target))) })
	for _, m := range spec.Mounts {
		if err := bind(m, spec.Root); err != nil {
			return err
		}
	}
	// Read-only comes last: mount points may have been made inside.
	for _, m := range spec.Mounts {
		if m.ReadOnly {
			if err := makeReadOnly(filepath.Join(spec.Root, m.Target)); err != nil {
				return err
			}
		}
	}
	if spec.ReadOnlyRoot {
		return makeReadOnly(spec.Root)
	}
	return nil
}

func bind(m mount, root string) error {
	target := filepath.Join(root, m.Target)
	info, err := os.Stat(m.Source)
	if err != nil {
		return fmt.Errorf("mount at %q: %w", m.Target, err)
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else {
		err = makeFile(target)
	}
	if err != nil {
		return fmt.Errorf("make mount point %q: %w", m.Target, err)
	}
	if err := unix.Mount(m.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount at %q: %w", m.Target, err)
	}
	return nil
}

func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

func makeReadOnly(path string) error {
	// Unlike a remount, this keeps the flags that a user namespace may not drop.
	err := unix.MountSetattr(unix.AT_FDCWD, path, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		return fmt.Errorf("make %q read-only: %w", path, err)
	}
	return nil
}

// become changes the user of the calling thread, for good.
func (u user) become() error {
	if u.Unchanged {
		return nil
	}
	groups := make([]uint32, 0, len(u.Groups)+1)
	for _, id := range append([]int{u.GID}, u.Groups...) {
		groups = append(groups, uint32(id))
	}
	if err := setGroups(groups); err != nil {
		return fmt.Errorf("set groups %v: %w", groups, err)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(u.GID), uintptr(u.GID), uintptr(u.GID)); errno != 0 {
		return fmt.Errorf("become group %d: %w", u.GID, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(u.UID), uintptr(u.UID), uintptr(u.UID)); errno != 0 {
		return fmt.Errorf("become user %d: %w", u.UID, errno)
	}
	return nil
}

func execve(argv, env []string) error {
	if err := unix.Exec(argv[0], argv, env); err != nil {
		return fmt.Errorf("run %q: %w", argv[0], err)
	}
	return nil
}

// execSpec is what pod-exec needs to run a program in a pod.
type execSpec struct {
	PID  int
	Argv []string
	Env  []string
	User user
}

// podExec joins a pod's namespaces and root folder and becomes the given program.
// It does not return.
func podExec() {
	// Namespaces, root folder and user are those of this thread, and it is this one
	// that execs.
	runtime.LockOSThread()
	syscall.CloseOnExec(3)
	var spec execSpec
	err := json.NewDecoder(os.NewFile(3, "spec")).Decode(&spec)
	if err == nil {
		err = joinPod(spec.PID)
	}
	if err == nil {
		err = spec.User.become()
	}
	if err == nil {
		err = execve(spec.Argv, spec.Env)
	}
	fmt.Fprintln(os.Stderr, "pod-exec:", err)
	os.Exit(128)
}

func joinPod(pid int) error {
	proc := "/proc/" + strconv.Itoa(pid)
	root, err := unix.Open(proc+"/root", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the root folder: %w", err)
	}
	var namespaces []int
	for _, name := range []string{"net", "uts", "ipc", "mnt"} {
		fd, err := unix.Open(proc+"/ns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open namespace %s: %w", name, err)
		}
		namespaces = append(namespaces, fd)
	}
	// A mount namespace can only be joined by a thread that shares its root and
	// working folder with no other.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	for _, fd := range namespaces {
		if err := unix.Setns(fd, 0); err != nil {
			return fmt.Errorf("join namespace: %w", err)
		}
	}
	return errors.Join(unix.Fchdir(root), unix.Chroot("."), unix.Chdir("/"))
}
