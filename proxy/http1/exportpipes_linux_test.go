package http1

func (s *pipes) exhaust() { s.open.Store(maxPipes) }

func (s *pipes) count() int { return int(s.open.Load()) }
