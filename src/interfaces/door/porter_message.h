/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon and its porter say to each other: one of these in each packet. */
#ifndef VIADUCT_INTERFACES_DOOR_PORTER_MESSAGE_H
#define VIADUCT_INTERFACES_DOOR_PORTER_MESSAGE_H

#include <stdint.h>

struct porter_setup;

enum porter_message_kind {
	PORTER_ADMIT,	/* to the porter, with a peer and the process's end of the connection */
	PORTER_KEEP,	/* to the porter, with a listening socket */
	PORTER_FORGET,	/* to the porter: the place's listening socket is to be closed */
	PORTER_GONE,	/* from the porter: a process of the place has ended */
};

struct porter_message {
	uint32_t kind;
	uint32_t place;
	uint32_t manner; /* PORTER_ADMIT: enum porter_manner */
};

/*
 * In the new process: lets go of all that it inherited but `control` and, in builds with a sanitizer, the
 * standard error; makes what it needs. Returns 0 or -errno.
 */
int porter_prepare(const struct porter_setup *setup, int control);
/* Its whole life: until the daemon's end of `control` is closed. */
_Noreturn void porter_run(void);

#endif
