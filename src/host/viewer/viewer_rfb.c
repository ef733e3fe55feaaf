/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/viewer/viewer_rfb.h"

#include <assert.h>
#include <errno.h>
#include <rfb/rfb.h>
#include <rfb/rfbregion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/big_endian.h"
#include "core/fd.h"

#define PIXEL_BYTES   4
#define CHANNEL_BITS  8
#define CHANNELS      3
#define DEPTH	      24
#define REQUEST_BYTES 10
#define ANSWER_BYTES  512
/* A region of more rectangles becomes the one around them: a client can ask for each pixel alone. */
#define REGION_RECTS_MAX 64u
/* The library would wait in a read, which does not happen: its messages are whole. */
#define WAIT_MS 1000

/* The library looks four bytes ahead for other protocols, a tenth of a second long if there are none. */
static const char version_prefix[] = "RFB ";

struct viewer_rfb {
	struct viewer_outbox *outbox;
	struct viewer_screen screen;
	char name[VIEWER_NAME_BYTES];
	rfbScreenInfo *server;
	rfbClientRec *client;
	int outside, inside;		    /* the socket pair; the inside is the library's */
	uint32_t told_width, told_height;   /* that the client knows of */
	uint32_t asked_width, asked_height; /* by the client; 0: it waits for no answer */
};

/* ---- the screen ---- */

/* The library's own format has the other order of colours, and the padding as a fourth. */
static void set_format(struct viewer_rfb *rfb)
{
	rfbPixelFormat *format = &rfb->server->serverFormat;

	format->depth = DEPTH;
	format->redShift = 2 * CHANNEL_BITS;
	format->greenShift = CHANNEL_BITS;
	format->blueShift = 0;
	rfb->server->depth = DEPTH;
	rfb->server->paddedWidthInBytes = (int)rfb->screen.stride_bytes;
}

static rfbScreenInfo *create_server(struct viewer_rfb *rfb)
{
	rfbScreenInfo *server;

	rfbLogEnable(0);
	server = rfbGetScreen(NULL, NULL, (int)rfb->screen.width, (int)rfb->screen.height, CHANNEL_BITS,
			      CHANNELS, PIXEL_BYTES);
	if (!server)
		return NULL;
	rfb->server = server;
	server->frameBuffer = rfb->screen.pixels;
	server->desktopName = rfb->name;
	server->cursor = NULL; /* it would be drawn into the screen */
	server->deferUpdateTime = 0;
	server->maxClientWait = WAIT_MS;
	server->alwaysShared = TRUE;
	set_format(rfb);
	return server;
}

/* The client that asked for this size is answered, also when the daemon chose another. */
static void answer_size(struct viewer_rfb *rfb)
{
	rfbClientRec *client = rfb->client;
	bool as_asked = rfb->screen.width == rfb->asked_width && rfb->screen.height == rfb->asked_height;

	client->requestedDesktopSizeChange = rfbExtDesktopSize_ClientRequestedChange;
	client->lastDesktopSizeChangeError =
		as_asked ? rfbExtDesktopSize_Success : rfbExtDesktopSize_ResizeProhibited;
	client->newFBSizePending = TRUE;
	rfb->asked_width = rfb->asked_height = 0;
}

/* The client hears of the size, and may forget its picture. */
static void resize(struct viewer_rfb *rfb)
{
	rfbNewFramebuffer(rfb->server, rfb->screen.pixels, (int)rfb->screen.width, (int)rfb->screen.height,
			  CHANNEL_BITS, CHANNELS, PIXEL_BYTES);
	set_format(rfb);
	/* It was set for the format that the library likes. */
	rfb->server->setTranslateFunction(rfb->client);
}

/* The same pixels elsewhere, most likely: as the successor of a daemon has them. */
static void replace(struct viewer_rfb *rfb)
{
	rfb->server->frameBuffer = rfb->screen.pixels;
	rfbMarkRectAsModified(rfb->server, 0, 0, (int)rfb->screen.width, (int)rfb->screen.height);
}

void viewer_rfb_show(struct viewer_rfb *rfb, const struct viewer_screen *screen)
{
	struct viewer_screen before = rfb->screen;

	rfb->screen = *screen;
	if (screen->width == before.width && screen->height == before.height &&
	    screen->stride_bytes == before.stride_bytes && rfb->asked_width == 0)
		replace(rfb);
	else
		resize(rfb);
	if (rfb->asked_width > 0)
		answer_size(rfb);
	viewer_screen_unmap(&before);
}

const struct viewer_screen *viewer_rfb_screen(const struct viewer_rfb *rfb)
{
	return &rfb->screen;
}

bool viewer_rfb_ask_size(struct viewer_rfb *rfb, uint32_t width, uint32_t height)
{
	rfbClientRec *client = rfb->client;

	if (!client->useExtDesktopSize)
		return false;
	rfb->asked_width = width;
	rfb->asked_height = height;
	if (width == rfb->screen.width && height == rfb->screen.height) {
		answer_size(rfb);
		return false;
	}
	if (width == 0 || height == 0 || width > VIEWER_SIDE_MAX || height > VIEWER_SIDE_MAX) {
		answer_size(rfb);
		client->lastDesktopSizeChangeError = rfbExtDesktopSize_InvalidScreenLayout;
		return false;
	}
	return true;
}

/* ---- what the client says ---- */

/* What the library answered, which is at most the 256 bytes of the screen's description. */
static int take_answer(struct viewer_rfb *rfb)
{
	uint8_t answer[ANSWER_BYTES];
	ssize_t received = recv(rfb->outside, answer, sizeof(answer), MSG_DONTWAIT);

	if (received < 0)
		return errno == EAGAIN ? 0 : -EPROTO;
	return received == 0 ? -EPROTO : viewer_outbox_put(rfb->outbox, answer, (size_t)received);
}

static int feed(struct viewer_rfb *rfb, const uint8_t *bytes, size_t count)
{
	if (fd_send_now(rfb->outside, bytes, count, NULL, 0) != (ssize_t)count)
		return -EPROTO;
	rfbProcessClientMessage(rfb->client);
	if (rfb->client->sock == RFB_INVALID_SOCKET) {
		rfb->inside = -1;
		return -EPROTO;
	}
	return take_answer(rfb);
}

enum client_stage viewer_rfb_stage(const struct viewer_rfb *rfb)
{
	switch (rfb->client->state) {
	case RFB_PROTOCOL_VERSION:
		return CLIENT_VERSION;
	case RFB_SECURITY_TYPE:
		return CLIENT_SECURITY;
	case RFB_NORMAL:
		return CLIENT_NORMAL;
	default:
		return CLIENT_INIT;
	}
}

int viewer_rfb_feed(struct viewer_rfb *rfb, const struct client_message *message)
{
	bool was_initial = viewer_rfb_stage(rfb) == CLIENT_INIT;
	int error = feed(rfb, message->pass, message->pass_bytes);

	if (!error && was_initial) {
		rfb->told_width = rfb->screen.width;
		rfb->told_height = rfb->screen.height;
	}
	return error;
}

/* The library hears what it would have, and its answers are dropped. */
int viewer_rfb_skip_security(struct viewer_rfb *rfb)
{
	static const uint8_t said[] = "RFB 003.008\n\1";
	ssize_t length;
	int error = 0;

	for (size_t at = 0; !error && viewer_rfb_stage(rfb) != CLIENT_INIT; at += (size_t)length) {
		struct client_message message;

		length = client_message_read(viewer_rfb_stage(rfb), said + at, sizeof(said) - 1 - at,
					     &message);
		error = length > 0 ? viewer_rfb_feed(rfb, &message) : -EPROTO;
	}
	return error ? error : viewer_outbox_drop(rfb->outbox);
}

static void simplify(sraRegionPtr *region)
{
	sraRegionPtr around;

	if (sraRgnCountRects(*region) <= REGION_RECTS_MAX)
		return;
	around = sraRgnBBox(*region);
	sraRgnDestroy(*region);
	*region = around;
}

/* Within the screen; what is empty is not asked for. */
static uint32_t clip(uint32_t at, uint32_t length, uint32_t side)
{
	if (at >= side)
		return 0;
	return length < side - at ? length : side - at;
}

int viewer_rfb_request(struct viewer_rfb *rfb, const struct client_message *message)
{
	uint32_t width = clip(message->x, message->width, rfb->screen.width);
	uint32_t height = clip(message->y, message->height, rfb->screen.height);
	uint8_t request[REQUEST_BYTES] = { rfbFramebufferUpdateRequest, message->incremental };
	int error;

	if (width == 0 || height == 0)
		return 0;
	big16_put(request + 2, (uint16_t)message->x);
	big16_put(request + 4, (uint16_t)message->y);
	big16_put(request + 6, (uint16_t)width);
	big16_put(request + 8, (uint16_t)height);
	error = feed(rfb, request, sizeof(request));
	if (!error) {
		simplify(&rfb->client->requestedRegion);
		simplify(&rfb->client->modifiedRegion);
	}
	return error;
}

/* ---- pictures ---- */

static bool is_within(uint32_t at, uint32_t length, uint32_t side)
{
	return length <= side && at <= side - length;
}

bool viewer_rfb_damage(struct viewer_rfb *rfb, const struct viewer_rect *rect)
{
	sraRegionPtr region;

	if (!is_within(rect->x, rect->width, rfb->screen.width) ||
	    !is_within(rect->y, rect->height, rfb->screen.height))
		return false;
	if (rect->width == 0 || rect->height == 0)
		return true;
	region = sraRgnCreateRect((int)rect->x, (int)rect->y, (int)(rect->x + rect->width),
				  (int)(rect->y + rect->height));
	rfbMarkRegionAsModified(rfb->server, region);
	sraRgnDestroy(region);
	simplify(&rfb->client->modifiedRegion);
	return true;
}

static bool size_is_new(const struct viewer_rfb *rfb)
{
	return rfb->told_width != rfb->screen.width || rfb->told_height != rfb->screen.height ||
	       (rfb->client->useNewFBSize && rfb->client->newFBSizePending);
}

static bool asks(const struct viewer_rfb *rfb)
{
	return viewer_rfb_stage(rfb) == CLIENT_NORMAL && !sraRgnEmpty(rfb->client->requestedRegion);
}

bool viewer_rfb_has_update(const struct viewer_rfb *rfb)
{
	sraRegionPtr wanted;
	bool has;

	if (!asks(rfb))
		return false;
	if (size_is_new(rfb))
		return true;
	wanted = sraRgnCreateRgn(rfb->client->modifiedRegion);
	has = sraRgnAnd(wanted, rfb->client->requestedRegion);
	sraRgnDestroy(wanted);
	return has;
}

bool viewer_rfb_waits(const struct viewer_rfb *rfb)
{
	return asks(rfb) && !viewer_rfb_has_update(rfb);
}

/* The library closes what it cannot write to. */
static int encode(struct viewer_rfb *rfb)
{
	rfbClientRec *client = rfb->client;
	rfbBool encoded;

	assert(client->sock == rfb->inside);
	client->sock = rfb->outbox->fd;
	encoded = rfbSendFramebufferUpdate(client, client->modifiedRegion);
	if (client->sock == RFB_INVALID_SOCKET)
		rfb->outbox->fd = -1;
	client->sock = rfb->inside;
	if (!encoded || rfb->outbox->fd < 0)
		return -EIO;
	return viewer_outbox_grown(rfb->outbox);
}

int viewer_rfb_update(struct viewer_rfb *rfb)
{
	bool new_size = size_is_new(rfb);

	if (!viewer_rfb_has_update(rfb))
		return 0;
	if (new_size && !rfb->client->useNewFBSize)
		return -ENOTSUP;
	if (new_size) {
		rfb->client->newFBSizePending = TRUE;
		rfb->told_width = rfb->screen.width;
		rfb->told_height = rfb->screen.height;
	}
	return encode(rfb);
}

/* ---- life ---- */

/* The library keeps sets of descriptors for select(). */
static int open_pair(struct viewer_rfb *rfb)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	rfb->outside = ends[0];
	rfb->inside = ends[1];
	return rfb->inside < FD_SETSIZE && rfb->outbox->fd < FD_SETSIZE ? 0 : -EMFILE;
}

static int begin(struct viewer_rfb *rfb)
{
	int error = open_pair(rfb);

	if (error)
		return error;
	if (!create_server(rfb))
		return -ENOMEM;
	if (fd_send_now(rfb->outside, version_prefix, sizeof(version_prefix) - 1, NULL, 0) < 0)
		return -EIO;
	rfb->client = rfbNewClient(rfb->server, rfb->inside);
	if (!rfb->client) {
		rfb->inside = -1;
		return -ENOMEM;
	}
	return take_answer(rfb);
}

int viewer_rfb_create(struct viewer_outbox *outbox, const struct viewer_screen *screen, const char *name,
		      struct viewer_rfb **ret_rfb)
{
	struct viewer_rfb *rfb = calloc(1, sizeof(*rfb));
	int error;

	if (!rfb)
		return -ENOMEM;
	rfb->outbox = outbox;
	rfb->screen = *screen;
	rfb->outside = rfb->inside = -1;
	strncpy(rfb->name, name, sizeof(rfb->name) - 1);
	error = begin(rfb);
	if (error) {
		rfb->screen = (struct viewer_screen){ 0 };
		viewer_rfb_destroy(rfb);
		return error;
	}
	*ret_rfb = rfb;
	return 0;
}

void viewer_rfb_destroy(struct viewer_rfb *rfb)
{
	if (!rfb)
		return;
	/* It frees the client, too, and closes its end of the pair. */
	if (rfb->client)
		rfb->inside = -1;
	if (rfb->server)
		rfbScreenCleanup(rfb->server);
	fd_close(&rfb->inside);
	fd_close(&rfb->outside);
	viewer_screen_unmap(&rfb->screen);
	free(rfb);
}
