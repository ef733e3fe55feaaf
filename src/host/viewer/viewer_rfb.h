/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The library that speaks RFB: it encodes pictures, and keeps what the client has asked for. It never meets
 * the client's socket, because it waits in every read and write for as long as the client likes. What the
 * client said reaches it in whole, checked messages through a socket pair; its answers come back the same
 * way, and its pictures by the memory file of the outbox.
 *
 *      client's bytes --> client_message_read() --> viewer_rfb_feed() --> socket pair --> library
 *      client <-- viewer_outbox_send() <-- memory file <-- viewer_rfb_update() <------------'
 *
 * All its memory is bounded by the size of the screen, and by the constants here.
 */
#ifndef VIADUCT_HOST_VIEWER_VIEWER_RFB_H
#define VIADUCT_HOST_VIEWER_VIEWER_RFB_H

#include <stdbool.h>
#include <stdint.h>

#include "host/viewer/client_message.h"
#include "host/viewer/viewer_message.h"
#include "host/viewer/viewer_outbox.h"
#include "host/viewer/viewer_screen.h"

struct viewer_rfb;

/*
 * Begins with the first screen: the server's version is in the outbox. The screen is the rfb's from now on,
 * the outbox stays the caller's and outlives it. Returns 0, -ENOMEM, -EMFILE or -errno; then the screen is
 * still the caller's.
 */
int viewer_rfb_create(struct viewer_outbox *outbox, const struct viewer_screen *screen, const char *name,
		      struct viewer_rfb **ret_rfb);
/* NULL is allowed. */
void viewer_rfb_destroy(struct viewer_rfb *rfb);

/* Another screen, which is the rfb's from now on: all of it has changed. */
void viewer_rfb_show(struct viewer_rfb *rfb, const struct viewer_screen *screen);
const struct viewer_screen *viewer_rfb_screen(const struct viewer_rfb *rfb);

/* What the client says next. */
enum client_stage viewer_rfb_stage(const struct viewer_rfb *rfb);
/* The client has agreed on a version and proven itself elsewhere: it begins at CLIENT_INIT. 0 or -EPROTO. */
int viewer_rfb_skip_security(struct viewer_rfb *rfb);
/* A message of the kind CLIENT_PASS. Returns 0, or -EPROTO: the library refuses it. */
int viewer_rfb_feed(struct viewer_rfb *rfb, const struct client_message *message);
/* A CLIENT_REQUEST. Returns 0 or -EPROTO. */
int viewer_rfb_request(struct viewer_rfb *rfb, const struct client_message *message);
/* A CLIENT_SIZE. Returns true when the daemon is to decide, by the next screen. */
bool viewer_rfb_ask_size(struct viewer_rfb *rfb, uint32_t width, uint32_t height);

/* Part of the screen has changed. Returns false when `rect` is not inside of it. */
bool viewer_rfb_damage(struct viewer_rfb *rfb, const struct viewer_rect *rect);
/* Has the client asked for something that there is? */
bool viewer_rfb_has_update(const struct viewer_rfb *rfb);
/* Has the client asked for what there is not yet? */
bool viewer_rfb_waits(const struct viewer_rfb *rfb);
/*
 * Puts an update in the outbox, when there is one. Returns 0, -ENOTSUP: the client cannot be told that the
 * screen has another size; or -EIO.
 */
int viewer_rfb_update(struct viewer_rfb *rfb);

#endif
