package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticksPerSecond is the unit of times in /proc on Linux, whatever the processor (USER_HZ).
const ticksPerSecond = 100

// cpuSeconds is the time that a process and its children have spent on processors, in user and system mode.
func cpuSeconds(pid int) (float64, error) {
	total := 0.0
	for _, one := range append(children(pid), pid) {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(one), "stat"))
		if err != nil {
			return 0, fmt.Errorf("read the time of process %d: %w", one, err)
		}
		// What comes behind the name, which may have spaces, begins with the third field (proc_pid_stat(5)).
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		for _, field := range []int{14, 15} {
			ticks, err := strconv.ParseFloat(fields[field-3], 64)
			if err != nil {
				return 0, fmt.Errorf("read the time of process %d: %w", one, err)
			}
			total += ticks / ticksPerSecond
		}
	}
	return total, nil
}

// children are the processes below one.
func children(pid int) []int {
	lists, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	if err != nil {
		return nil // the pattern is ours
	}
	var all []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(append(all, child), children(child)...)
			}
		}
	}
	return all
}
