/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process of one VNC viewer: it stands between a client that connected, which may say anything, and the
 * daemon, and serves nobody else. It shows the seat's screen and passes on keys and the pointer; it knows of
 * no guest. Its only way to the daemon is `inner`, by the messages of viewer_message.h.
 *
 * It waits in poll() only, and there for both ends: neither a client that does not read nor half a message
 * keeps it from noticing that the daemon has closed its end.
 */
#ifndef VIADUCT_HOST_VIEWER_VIEWER_SERVE_H
#define VIADUCT_HOST_VIEWER_VIEWER_SERVE_H

/*
 * Serves the client of `peer`, a connected stream socket, until it or the daemon goes, or one of them says
 * what it must not. `inner` is a SOCK_SEQPACKET socket. Takes both descriptors. The process ends after this.
 * It gets at most 2 GiB of memory.
 */
void viewer_serve(int peer, int inner);

#endif
