/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a viewer from another machine begins: RFB's version, VeNCrypt's choice of what comes within TLS
 * (X509Plain: a certificate of ours, a name and a password of the client), TLS, the password. It speaks with
 * the daemon by the messages of viewer_message.h, and has none of the daemon's secrets.
 *
 *     server                                          client
 *       "RFB 003.008\n" ------------------------------>
 *       <------------------------------- "RFB 003.008\n"
 *       1 kind of security: 19, VeNCrypt ------------->
 *       <-------------------------------------------- 19
 *       version 0.2 ---------------------------------->
 *       <------------------------------------------- 0.2
 *       0, 1 kind: 262, X509Plain -------------------->
 *       <------------------------------------------- 262
 *       1 -------------------------------------------->
 *       <==================== TLS 1.3 ================>
 *       <------ u32 length, u32 length, name, password
 *       u32 0: welcome; or 1, and why not ------------>
 */
#ifndef VIADUCT_HOST_VIEWER_VIEWER_GUARD_H
#define VIADUCT_HOST_VIEWER_VIEWER_GUARD_H

#include "host/viewer/viewer_message.h"
#include "host/viewer/viewer_wire.h"

/* Of a name, and of a password: bytes. */
#define VIEWER_SECRET_MAX 255u

struct viewer_tls;

/*
 * Waits until the client has proven itself, at most as long as the VIEWER_GUARD says, and for the daemon's
 * end. `certificates` is its file, not taken. Returns 0, with the wire in TLS and *ret_tls to be destroyed
 * after it; or -errno: -ETIMEDOUT, -EPROTO, -EACCES (the daemon says no), -EPIPE (the daemon has gone), …
 */
int viewer_guard_pass(int inner, const struct viewer_message *guard, int certificates,
		      struct viewer_wire *wire, struct viewer_tls **ret_tls);

#endif
