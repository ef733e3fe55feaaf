/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which requests of a browser are meant for us: pure, text in and a verdict out. A page of somebody else's
 * that is open in the same browser can send requests here, too. It cannot hide where it comes from (Origin),
 * nor under which name it found us (Host): so a name that was made to lead to this machine (DNS rebinding) is
 * refused, and a WebSocket that another page opens.
 */
#ifndef VIADUCT_HOST_WEB_WEB_REQUEST_H
#define VIADUCT_HOST_WEB_WEB_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/* "[" an address of IPv6 "]" and NUL. */
#define WEB_HOST_MAX 64u
/* 256 bits in base64url (RFC 4648, 5) without padding, and NUL. */
#define WEB_TOKEN_SIZE 44u

/*
 * host: of the request, "localhost:6080". own: the address at which it arrived, "127.0.0.1" or "[::1]". Any
 * port will do, because a tunnel has its own.
 */
bool web_host_is_ours(const char *host, const char *own);
/* Does a page of `host` say so? */
bool web_origin_is_ours(const char *origin, const char *host);

/* Is it a token? `text` may be longer. */
bool web_token_take(const char *text, size_t length, char ret_token[WEB_TOKEN_SIZE]);

/*
 * The token that a page proves with what it may do: among the subprotocols of a WebSocket, "binary,
 * token.TOKEN", or as "Bearer TOKEN". Neither is kept by browsers or written to logs, as addresses are.
 * False: there is none, or it does not look like one.
 */
bool web_token_of_protocols(const char *protocols, char ret_token[WEB_TOKEN_SIZE]);
bool web_token_of_authorization(const char *authorization, char ret_token[WEB_TOKEN_SIZE]);

/*
 * Is it where a console's WebSocket is opened? "/console" is that of the whole seat, and gives "";
 * "/console/GUEST/NAME" that of one display alone, whose name must fit into `room` bytes.
 */
bool web_console_of_path(const char *path, char *ret_guest, size_t room);

#endif
