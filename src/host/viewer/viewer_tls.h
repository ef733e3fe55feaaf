/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS 1.3 to a client, without the certificate's key: whoever has that signs the hash of the handshake, once.
 * No older version, in some of which the key is needed for more, and is good for more than one handshake.
 */
#ifndef VIADUCT_HOST_VIEWER_VIEWER_TLS_H
#define VIADUCT_HOST_VIEWER_VIEWER_TLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct gnutls_session_int;
struct viewer_tls;

struct viewer_signer {
	/* Signs a hash of VIEWER_DIGEST_MAX bytes at most. Returns the signature's bytes, or -errno. May
	 * wait. */
	ssize_t (*sign)(void *context, uint32_t algorithm, const uint8_t *digest, size_t digest_bytes,
			uint8_t *signature, size_t room);
	void *context;
};

/*
 * certificates: as text (PEM), the server's own first, which has a key of RSA or ECDSA. The socket, which
 * does not block, stays the caller's and outlives the session. Returns 0, -EINVAL (the certificates) or
 * -ENOMEM.
 */
int viewer_tls_create(int peer, const char *certificates, size_t bytes, const struct viewer_signer *signer,
		      struct viewer_tls **ret_tls);
/* NULL is allowed. */
void viewer_tls_destroy(struct viewer_tls *tls);

/* Goes on with the handshake. Returns 0, -EAGAIN with the events to poll() for, or -EPROTO. */
int viewer_tls_shake_hands(struct viewer_tls *tls, short *ret_events);
struct gnutls_session_int *viewer_tls_session(const struct viewer_tls *tls);

#endif
