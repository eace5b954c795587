package http1_test

import "golang.org/x/sys/unix"

// untell undoes what has reads of the connection tell what they leave.
func untell(fd uintptr) error { return unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_INQ, 0) }
