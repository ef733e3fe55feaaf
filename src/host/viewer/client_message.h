/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VNC client says (RFC 6143, 7.5, and the extensions ExtendedDesktopSize, QEMU's key event and the
 * Extended Clipboard, whose texts are viewer_cut.h's). Its bytes are cut into messages and checked here,
 * before the library that encodes pictures sees them: the library waits for the rest of half a message, and
 * believes much of what it reads. A message that nothing here needs, or that means something only to this
 * library, ends the client.
 *
 * This is pure: bytes in, a message or an error out.
 */
#ifndef VIADUCT_HOST_VIEWER_CLIENT_MESSAGE_H
#define VIADUCT_HOST_VIEWER_CLIENT_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Known clients list 20 to 40 encodings. */
#define CLIENT_ENCODINGS_MAX 1024u
/* A message is never longer, but for a text that was copied, which comes in pieces. */
#define CLIENT_MESSAGE_MAX (4 + 4 * CLIENT_ENCODINGS_MAX)
/* Longer texts are taken for an attack. */
#define CLIENT_CUT_MAX_BYTES (16u << 20)
/* Of one message, for the library. */
#define CLIENT_PASS_MAX 132u

/* What the client says next. */
enum client_stage { CLIENT_VERSION, CLIENT_SECURITY, CLIENT_INIT, CLIENT_NORMAL };

enum client_message_kind {
	CLIENT_PASS,	/* pass, which is for the library; offers_… */
	CLIENT_REQUEST, /* x, y, width, height, which may lie outside of the screen; incremental */
	CLIENT_KEY,	/* keysym; scancode, 0: not told; down */
	CLIENT_POINTER, /* x, y; buttons, as they are in the protocol */
	CLIENT_SIZE,	/* width, height: the client would like a screen of that size */
	CLIENT_CUT,	/* the next cut_bytes are a text that was copied: in Latin-1, or cut_is_extended */
};

struct client_message {
	enum client_message_kind kind;
	uint8_t pass[CLIENT_PASS_MAX];
	size_t pass_bytes;
	bool offers_clipboard; /* the client knows the Extended Clipboard, likewise */
	bool offers_key_codes; /* the client can tell scancodes, once it is told that they are understood */
	bool incremental, down;
	uint32_t keysym, scancode;
	uint32_t x, y, width, height, buttons;
	uint32_t cut_bytes;
	bool cut_is_extended;
};

/*
 * Reads the first message of `count` bytes. Returns its length; 0: the rest of it is to come; or -EPROTO: the
 * client says what is not understood, or forbidden. Of the version, the library gets what comes after "RFB ".
 */
ssize_t client_message_read(enum client_stage stage, const uint8_t *bytes, size_t count,
			    struct client_message *ret_message);

#endif
