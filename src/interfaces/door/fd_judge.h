/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a doorman does with the descriptors of its peer: proves them, keeps what it has handed on, so that it
 * is closed here last, and keeps the others, too, until its peer's end.
 */
#ifndef VIADUCT_INTERFACES_DOOR_FD_JUDGE_H
#define VIADUCT_INTERFACES_DOOR_FD_JUDGE_H

#include <stdbool.h>

/* What was handed on and is closed here last. An honest peer has two or three for each queue. */
#define FD_JUDGE_KEPT_MAX 1024u

struct fd_judge {
	int blank, blank_file;		/* stand-ins: /dev/null, /dev/zero */
	int kept[FD_JUDGE_KEPT_MAX];	/* a ring of descriptors, kept_max of them; -1: none */
	unsigned next_kept, kept_max;
	unsigned strangers;		/* descriptors that came and went no further: closed at the end */
};

/* The process may have fds_max descriptors. */
void fd_judge_init(struct fd_judge *judge, int blank, int blank_file, unsigned fds_max);

/* More have come than are endured: nothing more is read from the peer. */
bool fd_judge_is_tired(const struct fd_judge *judge);

/* Takes a descriptor that is not passed on, not even by a stand-in. */
void fd_judge_drop(struct fd_judge *judge, int fd);
/* Takes a descriptor. Returns it when it is proven (a memory file, an eventfd), or else its stand-in. */
int fd_judge_prove(struct fd_judge *judge, int fd);
/* The same for one that is not wanted, whatever it is. Returns its stand-in. */
int fd_judge_refuse(struct fd_judge *judge, int fd);

/* What was proven is with the daemon: it is kept. Stand-ins stay what they are. */
void fd_judge_passed(struct fd_judge *judge, int fd);

#endif
