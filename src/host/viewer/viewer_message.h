/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon and the process of one viewer say to each other: one struct viewer_message a packet, over a
 * SOCK_SEQPACKET socket. The daemon believes nothing in it: what is out of range is ignored, a packet of
 * another size ends the viewer.
 *
 *     daemon                          process of the viewer
 *       | <---- VIEWER_READY -----------  |   it is there, and asks for the screen
 *       | ----- VIEWER_SCREEN + file -->  |   now it begins to serve the client
 *       | <---- VIEWER_READY -----------  |   the client has all of the picture, and wants more
 *       | ----- VIEWER_DAMAGE --------->  |   these parts have other pixels now
 *       | <---- VIEWER_READY -----------  |   the next may come
 *       | <---- VIEWER_KEY, … ----------  |
 *
 * All pixels of a new screen are new. It may come at any time, damage only after a VIEWER_READY that came
 * after the last damage. The process answers each screen and each damage with VIEWER_READY, and several of
 * them that came before the answer with one. It answers when the client has taken what there was and asks for
 * more: so what a slow client misses is collected in the daemon.
 *
 * The last that the process says is which keys and buttons come up. If it has not read all of the daemon's
 * packets by then, the daemon's recv() tells ECONNRESET once, before the packets that are left.
 *
 * A console in a browser (host/web/) has to prove first that it may be a viewer, and asks before that what is
 * on the seat. The daemon ignores all else of it until then.
 *
 *       | <---- VIEWER_GUEST -----------  |   only if it wants to see one guest alone
 *       | <---- VIEWER_TOKEN, _STATE ---  |   each of them with the seat's token
 *       | ----- VIEWER_JUDGED --------->  |   to VIEWER_STATE with text behind it, in the same packet
 *
 * A viewer from another machine (viewer_guard.h) has to prove itself within TLS. Its process has neither the
 * certificate's key nor the password: the daemon signs once for it, and compares what became of the password.
 *
 *       | <---- VIEWER_READY -----------  |   as above
 *       | ----- VIEWER_GUARD + file --->  |   but it is not shown the screen
 *       | <---- VIEWER_SIGN ------------  |   the client has said with what it wants to begin TLS
 *       | ----- VIEWER_SIGNED --------->  |   with the signature behind it, in the same packet
 *       | <---- VIEWER_PASSWORD --------  |
 *       | ----- VIEWER_JUDGED --------->  |   and if it was right, all goes on as above
 *
 * Pixels are 32 bits, 0xRRGGBB and a byte that means nothing, lines `stride_bytes` apart. The daemon draws
 * into the memory while the process reads it: what is torn is damaged anew.
 */
#ifndef VIADUCT_HOST_VIEWER_VIEWER_MESSAGE_H
#define VIADUCT_HOST_VIEWER_VIEWER_MESSAGE_H

#include <assert.h>
#include <stdint.h>

#define VIEWER_RECTS_MAX  16u
#define VIEWER_NAME_BYTES 128u
#define VIEWER_SIDE_MAX	  8192u /* pixels */
#define VIEWER_STATE_MAX  8192u /* bytes of text */
#define VIEWER_CUT_MAX	  65536u /* bytes of a text that was copied */
/* Bytes: of what is signed in a TLS handshake, which is a hash, of its signature, and of certificates. */
#define VIEWER_DIGEST_MAX      64u
#define VIEWER_SIGNATURE_MAX   2048u
#define VIEWER_CERTIFICATE_MAX (64u << 10)

/* What the daemon says to a token, or to a password. */
enum viewer_verdict {
	VIEWER_RIGHT,
	VIEWER_WRONG,
	VIEWER_FULL, /* right, but the seat, or the guest, has as many viewers as it may have */
	VIEWER_ABSENT, /* right, but the seat has no display that is called as VIEWER_GUEST said */
};

enum viewer_message_kind {
	/* ---- to the process ---- */
	VIEWER_SCREEN = 1, /* with a memory file that it may read: width, height, stride_bytes, name */
	VIEWER_DAMAGE,	   /* rects[0 to number) of the screen */
	VIEWER_END,	   /* no more; text in `name` says why. The process closes the client's connection */
	VIEWER_JUDGED,	   /* number: an enum viewer_verdict */
	/*
	 * With a memory file of certificates as text (PEM). name: the setting for crypt(3); number, width:
	 * how long TLS may take to begin, and then the password to come, in ms
	 */
	VIEWER_GUARD,
	VIEWER_SIGNED, /* number: bytes of the signature; 0: refused */

	/* ---- from the process ---- */
	VIEWER_READY = 0x101, /* the first: the screen is wanted; then: the next damage is */
	VIEWER_KEY,	      /* number: a key of linux/input-event-codes.h; down */
	VIEWER_KEYSYM,	      /* number: an X11 keysym, of a client that tells no key codes; down */
	VIEWER_POINTER,	      /* x, y; number: buttons, bit 0 left, 1 middle, 2 right; wheel */
	VIEWER_SIZE,	      /* the client would like width, height. The next VIEWER_SCREEN is the answer */
	VIEWER_TOKEN,	      /* name: the seat's token, of a console that is going to be a viewer */
	VIEWER_STATE,	      /* name: the seat's token; what is on the seat is wanted, as JSON */
	VIEWER_FOCUS,	      /* name: of the display that is to have the focus */
	VIEWER_SIGN,	 /* number: GnuTLS' algorithm; width: bytes in name, which are the hash to sign */
	VIEWER_CUT,	 /* number: bytes of UTF-8 behind it, in the same packet: the client copied them */
	VIEWER_GUEST,	 /* name: of the display that a console is going to see alone, before VIEWER_TOKEN */
	VIEWER_PASSWORD, /* name: what crypt(3) made of it with the setting */
};

struct viewer_rect {
	uint32_t x, y, width, height;
};

struct viewer_message {
	uint32_t kind, number;
	uint32_t x, y, width, height, stride_bytes;
	uint32_t down;		      /* 1: went down, 0: came up */
	int32_t wheel;		      /* notches since the last message; away from the user is positive */
	char name[VIEWER_NAME_BYTES]; /* of the seat, or as above; ended by NUL */
	struct viewer_rect rects[VIEWER_RECTS_MAX];
};

static_assert(sizeof(struct viewer_message) == 9 * 4 + VIEWER_NAME_BYTES + 16 * VIEWER_RECTS_MAX, "no holes");

#endif
