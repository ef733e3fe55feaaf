/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the process of a browser's connection asks the daemon: whether a token is right, and what is on the
 * seat. The daemon alone knows the token; this process never does.
 */
#ifndef VIADUCT_HOST_WEB_WEB_ASK_H
#define VIADUCT_HOST_WEB_WEB_ASK_H

#include <stddef.h>

#include "host/viewer/viewer_message.h"

struct web_answer {
	enum viewer_verdict verdict;
	char text[VIEWER_STATE_MAX]; /* to VIEWER_STATE */
	size_t text_bytes;
};

/*
 * Asks VIEWER_TOKEN or VIEWER_STATE with `token`, which fits into a message, and waits for the answer.
 * Returns 0, or -EPIPE: the daemon has gone, or wants the end.
 */
int web_ask(int inner, enum viewer_message_kind question, const char *token, struct web_answer *ret_answer);

#endif
