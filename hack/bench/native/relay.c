// The floor: a relay of bytes that knows nothing of HTTP, with two receives and two sends a request. Each connection has
// one of its own to the backend.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct side {
	int fd;
	struct side *peer;
};

static struct sockaddr_in at(const char *port) {
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int main(int argc, char **argv) {
	static char bytes[1 << 18];
	if (argc != 3) return fprintf(stderr, "usage: relay PORT BACKEND-PORT\n"), 2;
	int one = 1, l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0);
	struct sockaddr_in here = at(argv[1]), there = at(argv[2]);
	struct epoll_event event = {.events = EPOLLIN}, events[256];
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(l, (void *)&here, sizeof here) != 0 || listen(l, 4096) != 0) return perror("listen"), 1;
	epoll_ctl(epoll, EPOLL_CTL_ADD, l, &event);
	for (;;) {
		int n = epoll_wait(epoll, events, 256, -1);
		for (int i = 0; i < n; i++) {
			struct side *s = events[i].data.ptr;
			if (s == NULL) {
				for (int fd; (fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
					int up = socket(AF_INET, SOCK_STREAM, 0);
					if (connect(up, (void *)&there, sizeof there) != 0) {
						close(fd);
						close(up);
						continue;
					}
					setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
					setsockopt(up, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
					struct side *a = malloc(sizeof *a), *b = malloc(sizeof *b);
					*a = (struct side){fd, b};
					*b = (struct side){up, a};
					event.data.ptr = a;
					epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
					event.data.ptr = b;
					epoll_ctl(epoll, EPOLL_CTL_ADD, up, &event);
				}
				event.data.ptr = NULL;
				continue;
			}
			if (s->fd < 0) continue;
			ssize_t got = recv(s->fd, bytes, sizeof bytes, MSG_DONTWAIT);
			if (got < 0 && errno == EAGAIN) continue;
			if (got <= 0) {
				close(s->fd);
				close(s->peer->fd);
				s->fd = s->peer->fd = -1;
				continue;
			}
			for (ssize_t sent = 0; sent < got;) {
				ssize_t w = send(s->peer->fd, bytes + sent, got - sent, MSG_NOSIGNAL);
				if (w < 0) break;
				sent += w;
			}
		}
	}
}
