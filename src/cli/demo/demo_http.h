/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HTTP on the host's side of the demo's network: a server that guests fetch from, and a client of theirs. */
#ifndef VIADUCT_CLI_DEMO_DEMO_HTTP_H
#define VIADUCT_CLI_DEMO_DEMO_HTTP_H

#include <stddef.h>
#include <sys/types.h>

/*
 * What is served: "TOKEN NAME", and below it the numbers from 1 to `last`, one a line. None of them can be
 * left out, doubled or out of its place. Returns the text, to be freed.
 */
char *demo_numbers(const char *token, const char *name, unsigned last, size_t *ret_bytes);

/* A port of the host's loopback that nothing used a moment ago; 0: there is none. */
unsigned demo_free_port(void);

struct demo_server {
	pid_t pid;     /* 0: none runs */
	unsigned port; /* of the host's loopback */
};

/* Starts a process that answers each request with these bytes. 0 or -errno. */
int demo_server_start(struct demo_server *server, const char *body, size_t bytes);
void demo_server_stop(struct demo_server *server);

/*
 * Fetches from a URL and compares. Returns 0: the same bytes came; or -EBADMSG (others, or more, or fewer) or
 * -EIO, and *ret_error (static).
 */
int demo_fetch(const char *url, const char *body, size_t bytes, const char **ret_error);

#endif
