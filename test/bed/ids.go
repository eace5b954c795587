//go:build linux

package bed

import (
	"bufio"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setGroups sets the groups of the calling thread; the syscall package's function
// sets them for all threads, which an exec that follows has no use for and which
// is not possible in every state of a process.
func setGroups(groups []uint32) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// idMap says which users and groups exist in this user namespace.
type idMap struct {
	users, groups []idRange
	single        bool // root is the only user
}

type idRange struct{ first, count int64 }

func readIDMap() (idMap, error) {
	users, err := readIDRanges("/proc/self/uid_map")
	if err != nil {
		return idMap{}, err
	}
	groups, err := readIDRanges("/proc/self/gid_map")
	if err != nil {
		return idMap{}, err
	}
	return idMap{users: users, groups: groups, single: len(users) == 1 && users[0].count == 1}, nil
}

func readIDRanges(path string) ([]idRange, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the user namespace: %w", err)
	}
	defer file.Close()
	var ranges []idRange
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var inside, outside, count int64
		if _, err := fmt.Sscan(lines.Text(), &inside, &outside, &count); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		ranges = append(ranges, idRange{first: inside, count: count})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return ranges, nil
}

func (m idMap) hasUser(id int64) bool  { return contains(m.users, id) }
func (m idMap) hasGroup(id int64) bool { return contains(m.groups, id) }

func contains(ranges []idRange, id int64) bool {
	for _, r := range ranges {
		if id >= r.first && id < r.first+r.count {
			return true
		}
	}
	return false
}
