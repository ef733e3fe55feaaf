/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "host/viewer/viewer_input.h"
#include "host/web/web_ask.h"
#include "host/web/web_private.h"

#define ANSWER_MAX   1024u
#define TEXT	     "text/plain; charset=utf-8"
#define STATE_PATH   "/state"
/* "Bearer " and a token; and a list of subprotocols with one. */
#define PROOF_MAX 256u

/* What is answered when there is no file. */
struct trouble {
	unsigned status;
	const char *text;
};

static const struct trouble no_viewer = {
	503, "This console needs noVNC, which is not installed on the host.\n\n"
	     "On Debian: apt install novnc\nThen restart the daemon, or run: viaductd --takeover\n"
};
static const struct trouble no_file = { 404, "There is nothing here. The console is at /\n" };
static const struct trouble no_method = { 405, "Only GET and HEAD are answered here.\n" };
static const struct trouble not_our_host = {
	421, "This address is not the console's. Use http://127.0.0.1 or http://localhost with its port.\n"
};
static const struct trouble not_our_page = { 403, "Only the console's own page may open it.\n" };
static const struct trouble wrong_token = {
	403, "The token of this address is missing or wrong. The right address is printed by:\n\n"
	     "    viaduct seat show SEAT\n"
};
static const struct trouble full = { 503, "This seat, or guest, has as many viewers as it may have.\n" };
static const struct trouble no_guest = { 404, "This seat has no guest's display of that name.\n" };

/* ---- answers ---- */

/* Is over with the request when the body is sent. */
static int send_some(struct web *web, struct lws *wsi)
{
	static uint8_t room[LWS_PRE + WEB_CHUNK_BYTES];
	size_t left = web->body_bytes - web->sent_bytes,
	       count = left < WEB_CHUNK_BYTES ? left : WEB_CHUNK_BYTES;
	bool last = count == left;

	memcpy(room + LWS_PRE, web->body + web->sent_bytes, count);
	if (lws_write(wsi, room + LWS_PRE, count, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int)count)
		return -1;
	web->sent_bytes += count;
	if (!last)
		return lws_callback_on_writable(wsi) < 0 ? -1 : 0;
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static bool put(struct lws *wsi, const char *name, const char *value, uint8_t **at, uint8_t *end)
{
	return lws_add_http_header_by_name(wsi, (const uint8_t *)name, (const uint8_t *)value,
					   (int)strlen(value), at, end) == 0;
}

/* etag: NULL: this is not to be kept. */
static bool send_head(struct lws *wsi, unsigned status, const char *type, const char *etag, size_t count)
{
	uint8_t room[LWS_PRE + ANSWER_MAX], *start = room + LWS_PRE, *at = start, *end = room + sizeof(room);

	if (lws_add_http_header_status(wsi, status, &at, end) ||
	    lws_add_http_header_content_length(wsi, count, &at, end))
		return false;
	if (type && !put(wsi, "content-type:", type, &at, end))
		return false;
	if (etag && !put(wsi, "etag:", etag, &at, end))
		return false;
	return put(wsi, "cache-control:", etag ? "no-cache" : "no-store", &at, end) &&
	       lws_finalize_write_http_header(wsi, start, &at, end) == 0;
}

static bool wants_body(struct lws *wsi)
{
	return lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) == 0;
}

static int answer(struct web *web, struct lws *wsi, unsigned status, const char *type, const char *etag,
		  const void *body, size_t count)
{
	bool has_body = wants_body(wsi) && count > 0;

	if (!send_head(wsi, status, type, etag, count))
		return -1;
	if (!has_body)
		return lws_http_transaction_completed(wsi) ? -1 : 0;
	web->body = body;
	web->body_bytes = count;
	web->sent_bytes = 0;
	return lws_callback_on_writable(wsi) < 0 ? -1 : 0;
}

/* The connection ends after it: what else was sent in the request is not read. */
static int refuse(struct web *web, struct lws *wsi, const struct trouble *trouble)
{
	uint8_t room[LWS_PRE + ANSWER_MAX];
	size_t count = wants_body(wsi) ? strlen(trouble->text) : 0;

	if (!send_head(wsi, trouble->status, TEXT, NULL, strlen(trouble->text)))
		return -1;
	memcpy(room + LWS_PRE, trouble->text, count);
	lws_write(wsi, room + LWS_PRE, count, LWS_WRITE_HTTP_FINAL);
	return -1;
}

/* ---- what is asked for ---- */

static bool header(struct lws *wsi, enum lws_token_indexes which, char *text, size_t room)
{
	return lws_hdr_copy(wsi, text, (int)room, which) > 0;
}

static bool is_to_us(const struct web *web, struct lws *wsi)
{
	char host[WEB_HOST_MAX + 8];

	return header(wsi, WSI_TOKEN_HOST, host, sizeof(host)) && web_host_is_ours(host, web->own);
}

static int answer_state(struct web *web, struct lws *wsi)
{
	static struct web_answer told;
	char proof[PROOF_MAX], token[WEB_TOKEN_SIZE];

	if (!header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, proof, sizeof(proof)) ||
	    !web_token_of_authorization(proof, token))
		return refuse(web, wsi, &wrong_token);
	if (web_ask(web->inner, VIEWER_STATE, token, &told))
		return -1;
	if (told.verdict == VIEWER_WRONG)
		return refuse(web, wsi, &wrong_token);
	memcpy(web->state, told.text, told.text_bytes);
	return answer(web, wsi, 200, "application/json", NULL, web->state, told.text_bytes);
}

static int answer_file(struct web *web, struct lws *wsi, const struct web_file *file)
{
	char etag[WEB_ETAG_MAX];

	if (header(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, etag, sizeof(etag)) && strcmp(etag, file->etag) == 0)
		return answer(web, wsi, 304, NULL, file->etag, NULL, 0);
	return answer(web, wsi, 200, file->type, file->etag, file->bytes, file->count);
}

static int answer_request(struct web *web, struct lws *wsi, const char *path)
{
	const struct web_file *file = web_site_find(&web->site, path);

	if (lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) == 0 && wants_body(wsi))
		return refuse(web, wsi, &no_method);
	if (!is_to_us(web, wsi))
		return refuse(web, wsi, &not_our_host);
	if (!web->site.has_viewer)
		return refuse(web, wsi, &no_viewer);
	if (strcmp(path, STATE_PATH) == 0)
		return answer_state(web, wsi);
	return file ? answer_file(web, wsi, file) : refuse(web, wsi, &no_file);
}

/* ---- who may open a WebSocket ---- */

static const struct trouble *trouble_of(enum viewer_verdict verdict)
{
	switch (verdict) {
	case VIEWER_RIGHT:
		return NULL;
	case VIEWER_FULL:
		return &full;
	case VIEWER_ABSENT:
		return &no_guest;
	default:
		return &wrong_token;
	}
}

/* guest: the display that is to be seen alone; "": all of the seat. Returns NULL, or why not. */
static const struct trouble *judge_token(struct web *web, struct lws *wsi, const char *guest)
{
	struct viewer_message wish = { .kind = VIEWER_GUEST };
	static struct web_answer told;
	char proof[PROOF_MAX], token[WEB_TOKEN_SIZE];

	if (!header(wsi, WSI_TOKEN_PROTOCOL, proof, sizeof(proof)) || !web_token_of_protocols(proof, token))
		return &wrong_token;
	snprintf(wish.name, sizeof(wish.name), "%s", guest);
	if ((guest[0] && !viewer_tell(web->inner, &wish)) ||
	    web_ask(web->inner, VIEWER_TOKEN, token, &told))
		return &no_file;
	return trouble_of(told.verdict);
}

static const struct trouble *judge_upgrade(struct web *web, struct lws *wsi, const char *upgrade)
{
	char path[WEB_PATH_MAX + VIEWER_NAME_BYTES], host[WEB_HOST_MAX + 8], origin[WEB_HOST_MAX + 16];
	char guest[VIEWER_NAME_BYTES];

	if (!is_to_us(web, wsi))
		return &not_our_host;
	if (strcmp(upgrade, "websocket") != 0 || !header(wsi, WSI_TOKEN_GET_URI, path, sizeof(path)) ||
	    !web_console_of_path(path, guest, sizeof(guest)))
		return &no_file;
	if (!header(wsi, WSI_TOKEN_HOST, host, sizeof(host)) ||
	    !header(wsi, WSI_TOKEN_ORIGIN, origin, sizeof(origin)) || !web_origin_is_ours(origin, host))
		return &not_our_page;
	return judge_token(web, wsi, guest);
}

/* For libwebsockets: 0 lets it be, -1 ends it. */
static int confirm_upgrade(struct web *web, struct lws *wsi, const char *upgrade)
{
	const struct trouble *trouble = judge_upgrade(web, wsi, upgrade);

	return trouble ? refuse(web, wsi, trouble) : 0;
}

int web_http_happens(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t count)
{
	struct web *web = web_of(wsi);

	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return answer_request(web, wsi, in);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return web->body ? send_some(web, wsi) : 0;
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return confirm_upgrade(web, wsi, in);
	/* By default it would look for more handlers. */
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return -1;
	case LWS_CALLBACK_WSI_DESTROY:
		if (wsi == web->browser)
			web_end(web);
		return 0;
	default:
		return 0;
	}
}
