/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/viewer/viewer_tls.h"

#include <assert.h>
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "host/viewer/viewer_message.h"

#define CHAIN_MAX  8u
#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3"

struct viewer_tls {
	struct viewer_signer signer;
	gnutls_pk_algorithm_t key_kind; /* of the certificate */
	unsigned key_bits;
	gnutls_certificate_credentials_t credentials;
	gnutls_session_t session;
};

/* ---- the key that is elsewhere ---- */

static int sign(gnutls_privkey_t key, gnutls_sign_algorithm_t algorithm, void *context, unsigned flags,
		const gnutls_datum_t *digest, gnutls_datum_t *signature)
{
	const struct viewer_tls *tls = context;
	uint8_t bytes[VIEWER_SIGNATURE_MAX];
	ssize_t count;

	(void)key;
	(void)flags;
	if (digest->size > VIEWER_DIGEST_MAX)
		return GNUTLS_E_INVALID_REQUEST;
	count = tls->signer.sign(tls->signer.context, algorithm, digest->data, digest->size, bytes,
				 sizeof(bytes));
	if (count <= 0)
		return GNUTLS_E_PK_SIGN_FAILED;
	signature->data = gnutls_malloc((size_t)count);
	if (!signature->data)
		return GNUTLS_E_MEMORY_ERROR;
	memcpy(signature->data, bytes, (size_t)count);
	signature->size = (unsigned)count;
	return 0;
}

/* What the library asks about the key. */
static int describe(gnutls_privkey_t key, unsigned flags, void *context)
{
	const struct viewer_tls *tls = context;

	(void)key;
	if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
		return (int)tls->key_kind;
	if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
		return (int)tls->key_bits;
	if (flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO)
		return (int)gnutls_sign_supports_pk_algorithm(GNUTLS_FLAGS_TO_SIGN_ALGO(flags),
							      tls->key_kind);
	return -1;
}

/* ---- credentials ---- */

static int learn_key_kind(struct viewer_tls *tls, gnutls_pcert_st *certificate)
{
	int kind = gnutls_pubkey_get_pk_algorithm(certificate->pubkey, &tls->key_bits);

	tls->key_kind = (gnutls_pk_algorithm_t)kind;
	return kind < 0 ? kind : 0;
}

static int read_chain(const char *text, size_t bytes, gnutls_pcert_st chain[CHAIN_MAX], unsigned *ret_count)
{
	const gnutls_datum_t datum = { (unsigned char *)text, (unsigned)bytes };

	*ret_count = CHAIN_MAX;
	return gnutls_pcert_list_import_x509_raw(chain, ret_count, &datum, GNUTLS_X509_FMT_PEM, 0);
}

/* The credentials take the chain and the key. */
static int give_chain(struct viewer_tls *tls, gnutls_pcert_st *chain, unsigned count)
{
	gnutls_privkey_t key;
	int code = learn_key_kind(tls, &chain[0]);

	if (!code)
		code = gnutls_privkey_init(&key);
	if (code)
		return code;
	code = gnutls_privkey_import_ext4(key, tls, NULL, sign, NULL, NULL, describe, 0);
	/* That it is the certificate's was seen where it is. */
	gnutls_certificate_set_flags(tls->credentials, GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH);
	if (!code)
		code = gnutls_certificate_set_key(tls->credentials, NULL, 0, chain, (int)count, key);
	if (code)
		gnutls_privkey_deinit(key);
	return code;
}

static int set_certificates(struct viewer_tls *tls, const char *text, size_t bytes)
{
	gnutls_pcert_st chain[CHAIN_MAX] = { 0 };
	unsigned count;
	int code = read_chain(text, bytes, chain, &count);

	if (code)
		return code;
	code = give_chain(tls, chain, count);
	for (unsigned i = 0; code && i < count; i++)
		gnutls_pcert_deinit(&chain[i]);
	return code;
}

/* ---- life ---- */

static int begin(struct viewer_tls *tls, int peer)
{
	int code = gnutls_init(&tls->session,
			       GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);

	if (!code)
		code = gnutls_priority_set_direct(tls->session, PRIORITIES, NULL);
	if (!code)
		code = gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->credentials);
	if (!code)
		gnutls_transport_set_int(tls->session, peer);
	return code;
}

int viewer_tls_create(int peer, const char *certificates, size_t bytes, const struct viewer_signer *signer,
		      struct viewer_tls **ret_tls)
{
	struct viewer_tls *tls = calloc(1, sizeof(*tls));
	int code;

	if (!tls)
		return -ENOMEM;
	tls->signer = *signer;
	code = gnutls_certificate_allocate_credentials(&tls->credentials);
	if (!code)
		code = set_certificates(tls, certificates, bytes);
	if (!code)
		code = begin(tls, peer);
	if (code) {
		viewer_tls_destroy(tls);
		return code == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL;
	}
	*ret_tls = tls;
	return 0;
}

void viewer_tls_destroy(struct viewer_tls *tls)
{
	if (!tls)
		return;
	if (tls->session)
		gnutls_deinit(tls->session);
	if (tls->credentials)
		gnutls_certificate_free_credentials(tls->credentials);
	free(tls);
}

int viewer_tls_shake_hands(struct viewer_tls *tls, short *ret_events)
{
	int code;

	do
		code = gnutls_handshake(tls->session);
	while (code == GNUTLS_E_INTERRUPTED || code == GNUTLS_E_WARNING_ALERT_RECEIVED);
	if (code == GNUTLS_E_AGAIN) {
		*ret_events = gnutls_record_get_direction(tls->session) ? POLLOUT : POLLIN;
		return -EAGAIN;
	}
	if (code == 0)
		return 0;
	/* The client is told what it did, as far as it listens. */
	gnutls_alert_send_appropriate(tls->session, code);
	return -EPROTO;
}

struct gnutls_session_int *viewer_tls_session(const struct viewer_tls *tls)
{
	return tls->session;
}
