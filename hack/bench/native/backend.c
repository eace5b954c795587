// A backend that costs next to nothing: it answers /128, /1k and /64k with that many bytes, and skips bodies.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn {
	int fd;
	size_t have;      // bytes of requests in in
	size_t skip;      // bytes of a body still to come
	const char *out;  // what is left to send
	size_t left;
	char in[32768];
};

static char *answers[3];
static size_t lengths[3];

static void prepare(int i, size_t n) {
	answers[i] = malloc(n + 512);
	int head = sprintf(answers[i],
		"HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Sat, 21 Nov 2026 16:00:00 GMT\r\nContent-Type: application/json\r\n"
		"Cache-Control: no-store\r\nContent-Length: %zu\r\n\r\n", n);
	memset(answers[i] + head, 'x', n);
	lengths[i] = head + n;
}

static int drop(struct conn *c, size_t n) {
	memmove(c->in, c->in + n, c->have - n);
	c->have -= n;
	return 0;
}

// serve answers what is there; it returns -1 when the connection is of no use any more.
static int serve(struct conn *c) {
	for (;;) {
		while (c->left > 0) {
			ssize_t n = send(c->fd, c->out, c->left, MSG_NOSIGNAL);
			if (n < 0) return errno == EAGAIN ? 0 : -1;
			c->out += n;
			c->left -= n;
		}
		if (c->skip > 0) {
			size_t n = c->skip < c->have ? c->skip : c->have;
			drop(c, n);
			if ((c->skip -= n) > 0) return 0;
		}
		char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
		if (end == NULL) return c->have == sizeof c->in ? -1 : 0;
		char *path = memchr(c->in, ' ', c->have);
		if (path == NULL) return -1;
		int i = strncmp(path + 1, "/1k", 3) == 0 ? 1 : strncmp(path + 1, "/64k", 4) == 0 ? 2 : 0;
		end[2] = 0;
		char *length = strcasestr(c->in, "\r\ncontent-length:");
		if (length != NULL) c->skip = atol(length + 17);
		drop(c, end + 4 - c->in);
		c->out = answers[i];
		c->left = lengths[i];
	}
}

int main(int argc, char **argv) {
	int one = 1, l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 9000), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN}, events[256];
	prepare(0, 128);
	prepare(1, 1024);
	prepare(2, 65536);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(l, (void *)&at, sizeof at) != 0 || listen(l, 4096) != 0) return perror("listen"), 1;
	epoll_ctl(epoll, EPOLL_CTL_ADD, l, &event);
	for (;;) {
		int n = epoll_wait(epoll, events, 256, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;
			if (c == NULL) {
				for (int fd; (fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
					setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
					c = calloc(1, sizeof *c);
					c->fd = fd;
					struct epoll_event both = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP, .data.ptr = c};
					epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &both);
				}
				continue;
			}
			int dead = serve(c) < 0;
			while (!dead && c->have < sizeof c->in) {
				ssize_t got = recv(c->fd, c->in + c->have, sizeof c->in - c->have, 0);
				if (got <= 0) {
					dead = got == 0 || errno != EAGAIN;
					break;
				}
				c->have += got;
				dead = serve(c) < 0;
			}
			if (dead) {
				close(c->fd);
				free(c);
			}
		}
	}
}
