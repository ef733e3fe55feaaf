/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The QMP client: asks QEMU to serve its D-Bus display on a socket that is sent along, and later, as often
 * as is wanted, to look at the keyboard's queue. One command is on its way at a time; what else comes
 * (events) is ignored.
 *
 * The look is the monitor's `i /b 0x64`: a read of the status of the keyboard's controller (i8042), which
 * changes nothing. Bit 0: a byte waits for the guest; bit 5: it is the mouse's. All ones: there is no
 * controller. While the guest keeps the keyboard from interrupting it, bytes wait that are not seen.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_QMP_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_QMP_H

#include <stdbool.h>
#include <stddef.h>

#include "interfaces/vmm_display/vmm_display_message.h"

/* An honest line that we wait for has less than 300 bytes; events may come before it. */
#define VMM_DISPLAY_QMP_LINE_MAX 16384u

enum vmm_display_qmp_stage {
	VMM_DISPLAY_QMP_GREETING,     /* waits for QEMU's first line */
	VMM_DISPLAY_QMP_CAPABILITIES, /* and for the answers to these commands */
	VMM_DISPLAY_QMP_GETFD,
	VMM_DISPLAY_QMP_ADD_CLIENT,
	VMM_DISPLAY_QMP_DONE, /* QEMU serves its display on the socket */
};

enum vmm_display_qmp_look {
	VMM_DISPLAY_QMP_UNSEEN, /* no answer yet */
	VMM_DISPLAY_QMP_READ,	/* nothing waits for the guest */
	VMM_DISPLAY_QMP_UNREAD,
	VMM_DISPLAY_QMP_MOUSE, /* a byte of the mouse's does, and perhaps some of the keyboard's */
	VMM_DISPLAY_QMP_BLIND, /* QEMU cannot tell */
};

struct vmm_display_qmp {
	int socket;  /* QEMU's; not owned */
	int display; /* owned: the end of a socket that QEMU gets; -1 when it has it */
	enum vmm_display_qmp_stage stage;
	char line[VMM_DISPLAY_QMP_LINE_MAX];
	size_t line_bytes;
	bool is_long; /* the line is longer: its rest is skipped */
	bool is_looking;
	enum vmm_display_qmp_look look;	      /* the answer */
	char refusal[VMM_DISPLAY_TEXT_BYTES]; /* empty: none */
};

/* Takes `display`. */
void vmm_display_qmp_init(struct vmm_display_qmp *qmp, int socket, int display);
void vmm_display_qmp_finish(struct vmm_display_qmp *qmp);

/*
 * Reads what is there, once. Returns 0, -EPIPE (QEMU has closed the socket, or does not read) or -EPROTO:
 * qmp->refusal says what to do.
 */
int vmm_display_qmp_read(struct vmm_display_qmp *qmp);
/* The same with bytes that were read: what the parser does with them. */
int vmm_display_qmp_eat(struct vmm_display_qmp *qmp, const char *bytes, size_t count);

/*
 * Has QEMU look, when it serves its display and the answer to the look before was taken. Returns 0, or
 * -EPIPE: QEMU does not read.
 */
int vmm_display_qmp_look(struct vmm_display_qmp *qmp);
/* What it has seen; a second time: VMM_DISPLAY_QMP_UNSEEN. */
enum vmm_display_qmp_look vmm_display_qmp_take_look(struct vmm_display_qmp *qmp);

#endif
