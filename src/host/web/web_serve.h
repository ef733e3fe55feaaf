/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process of one connection that a browser has made: it serves the files of the site (GET and HEAD), says
 * what is on the seat (/state), and becomes a console when the page opens a WebSocket (/console) and has the
 * seat's token. It stands between a peer that may say anything and the daemon, and serves nobody else. HTTP
 * and WebSocket are libwebsockets'.
 *
 *      browser --> web_serve() --- files of the site
 *                      |---------- web_ask() ------------> daemon: is the token right?
 *                      '- web_console --> viewer_serve() --> daemon   a viewer, in a child process
 *
 * Everything that the browser can make it keep is bounded, and so is the time that a connection may take
 * which is no console.
 */
#ifndef VIADUCT_HOST_WEB_WEB_SERVE_H
#define VIADUCT_HOST_WEB_WEB_SERVE_H

struct web;

/*
 * Reads the files of the site (novnc: the folder of noVNC), and makes what libwebsockets needs, before the
 * process that will fork each web_serve() gives up its files and /proc. NULL: out of memory or descriptors.
 */
struct web *web_create(const char *novnc);
/* NULL is allowed. */
void web_destroy(struct web *web);

/*
 * Serves the browser of `peer`, a connected stream socket, until it or the daemon goes. `inner` is a
 * SOCK_SEQPACKET socket for the messages of viewer_message.h. Takes both descriptors. The process ends after
 * this, without a clean-up.
 */
void web_serve(struct web *web, int peer, int inner);

#endif
