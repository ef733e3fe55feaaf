/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The QMP client: asks QEMU to serve its D-Bus display on a socket that is sent along. One command is on its
 * way at a time; what else comes (events) is ignored, and after the last answer everything is.
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

struct vmm_display_qmp {
	int socket;  /* QEMU's; not owned */
	int display; /* owned: the end of a socket that QEMU gets; -1 when it has it */
	enum vmm_display_qmp_stage stage;
	char line[VMM_DISPLAY_QMP_LINE_MAX];
	size_t line_bytes;
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

#endif
