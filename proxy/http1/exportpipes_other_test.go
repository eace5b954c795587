//go:build !linux

package http1

func (*pipes) exhaust() {}

func (*pipes) count() int { return 0 }
