/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All numbers are big-endian. */
#include "host/viewer/client_message.h"

#include <errno.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/checked.h"

#define VERSION_BYTES  12u
#define VERSION_PREFIX 4u /* "RFB " */
#define FORMAT_AT      4u /* in SetPixelFormat */
#define SECURITY_NONE  1u
/* Of the encodings that the library may use; the client lists each of them once. */
#define PASSED_MAX ((CLIENT_PASS_MAX - 4) / 4)

/* RFC 6143, 7.5; 251 and 255 are extensions. */
enum {
	SET_PIXEL_FORMAT = 0,
	SET_ENCODINGS = 2,
	UPDATE_REQUEST = 3,
	KEY_EVENT = 4,
	POINTER_EVENT = 5,
	CUT_TEXT = 6,
	SET_DESKTOP_SIZE = 251,
	QEMU_MESSAGE = 255,
};

#define QEMU_KEY_EVENT	   0
#define ENCODING_QEMU_KEYS (-258)
#define ENCODING_CLIPBOARD ((int32_t)0xc0a1e5ceu)

/* Each range of encodings that the library may hear of; not of JPEG, which would change pixels. */
static const struct {
	int32_t first, last;
} encodings[] = {
	{ 0, 0 },	/* Raw */
	{ 5, 5 },	/* Hextile */
	{ 7, 7 },	/* Tight */
	{ 16, 16 },	/* ZRLE */
	{ -223, -223 }, /* DesktopSize */
	{ -224, -224 }, /* LastRect */
	{ -256, -247 }, /* level of compression */
	{ -308, -308 }, /* ExtendedDesktopSize */
};

static void pass(struct client_message *message, const uint8_t *bytes, size_t count)
{
	message->kind = CLIENT_PASS;
	memcpy(message->pass, bytes, count);
	message->pass_bytes = count;
}

/* ---- the handshake ---- */

/* A version of a kind that is not known is to be taken for 3.3 (RFC 6143, 7.1.1). */
static ssize_t read_version(const uint8_t *bytes, struct client_message *message)
{
	static const char known[] = "RFB 003.00";
	uint8_t version[VERSION_BYTES];

	if (memcmp(bytes, "RFB 003.", 8) != 0 || bytes[VERSION_BYTES - 1] != '\n')
		return -EPROTO;
	memcpy(version, known, sizeof(known) - 1);
	version[10] = memcmp(bytes, known, sizeof(known) - 1) == 0 && (bytes[10] == '7' || bytes[10] == '8')
			      ? bytes[10]
			      : '3';
	version[11] = '\n';
	pass(message, version + VERSION_PREFIX, VERSION_BYTES - VERSION_PREFIX);
	return VERSION_BYTES;
}

static ssize_t read_handshake(enum client_stage stage, const uint8_t *bytes, size_t count,
			      struct client_message *message)
{
	if (count < (stage == CLIENT_VERSION ? VERSION_BYTES : 1))
		return 0;
	if (stage == CLIENT_VERSION)
		return read_version(bytes, message);
	if (stage == CLIENT_SECURITY && bytes[0] != SECURITY_NONE)
		return -EPROTO;
	pass(message, bytes, 1);
	return 1;
}

/* ---- pictures ---- */

static bool channel_fits(const uint8_t *max, uint8_t shift, unsigned pixel_bits)
{
	uint32_t values = big16_get(max) + 1u;

	return values > 1 && is_power_of_two(values) && shift < pixel_bits &&
	       (uint64_t)values << shift <= 1ull << pixel_bits;
}

/*
 * The library makes tables of 2^bits entries, shifts by what it is told, and takes a depth of 24 for pixels
 * of 32 bits. Colour maps are not served.
 */
static ssize_t read_pixel_format(const uint8_t *bytes, size_t length, struct client_message *message)
{
	const uint8_t *format = bytes + FORMAT_AT;
	unsigned pixel_bits = format[0], depth = format[1], true_colour = format[3];

	if ((pixel_bits != 8 && pixel_bits != 16 && pixel_bits != 32) || depth > pixel_bits || !true_colour)
		return -EPROTO;
	for (size_t i = 0; i < 3; i++) {
		if (!channel_fits(format + 4 + 2 * i, format[10 + i], pixel_bits))
			return -EPROTO;
	}
	pass(message, bytes, length);
	return (ssize_t)length;
}

static bool library_may_use(int32_t encoding)
{
	for (unsigned i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++) {
		if (encoding >= encodings[i].first && encoding <= encodings[i].last)
			return true;
	}
	return false;
}

static ssize_t read_encodings(const uint8_t *bytes, size_t length, struct client_message *message)
{
	size_t count = 0;

	pass(message, bytes, 4);
	for (size_t at = 4; at < length; at += 4) {
		int32_t encoding = (int32_t)big32_get(bytes + at);

		message->offers_key_codes |= encoding == ENCODING_QEMU_KEYS;
		message->offers_clipboard |= encoding == ENCODING_CLIPBOARD;
		if (count < PASSED_MAX && library_may_use(encoding))
			memcpy(message->pass + 4 + 4 * count++, bytes + at, 4);
	}
	big16_put(message->pass + 2, (uint16_t)count);
	message->pass_bytes = 4 + 4 * count;
	return (ssize_t)length;
}

static ssize_t read_request(const uint8_t *bytes, size_t length, struct client_message *message)
{
	message->kind = CLIENT_REQUEST;
	message->incremental = bytes[1];
	message->x = big16_get(bytes + 2);
	message->y = big16_get(bytes + 4);
	message->width = big16_get(bytes + 6);
	message->height = big16_get(bytes + 8);
	return (ssize_t)length;
}

static ssize_t read_size(const uint8_t *bytes, size_t length, struct client_message *message)
{
	message->kind = CLIENT_SIZE;
	message->width = big16_get(bytes + 2);
	message->height = big16_get(bytes + 4);
	return (ssize_t)length;
}

/* ---- input ---- */

static ssize_t read_key(const uint8_t *bytes, size_t length, struct client_message *message)
{
	message->kind = CLIENT_KEY;
	message->down = bytes[1];
	message->keysym = big32_get(bytes + 4);
	return (ssize_t)length;
}

static ssize_t read_qemu_key(const uint8_t *bytes, size_t length, struct client_message *message)
{
	message->kind = CLIENT_KEY;
	message->down = big16_get(bytes + 2);
	message->keysym = big32_get(bytes + 4);
	message->scancode = big32_get(bytes + 8);
	return (ssize_t)length;
}

static ssize_t read_pointer(const uint8_t *bytes, size_t length, struct client_message *message)
{
	message->kind = CLIENT_POINTER;
	message->buttons = bytes[1];
	message->x = big16_get(bytes + 2);
	message->y = big16_get(bytes + 4);
	return (ssize_t)length;
}

static ssize_t read_cut(const uint8_t *bytes, size_t length, struct client_message *message)
{
	message->kind = CLIENT_CUT;
	message->cut_bytes = big32_get(bytes + 4);
	/* A negative length is the extended form's, whose least are its flags. */
	message->cut_is_extended = message->cut_bytes > INT32_MAX;
	if (message->cut_is_extended)
		message->cut_bytes = -message->cut_bytes;
	if (message->cut_is_extended && message->cut_bytes < 4)
		return -EPROTO;
	return message->cut_bytes <= CLIENT_CUT_MAX_BYTES ? (ssize_t)length : -EPROTO;
}

/* ---- which message ---- */

/* How a kind of message is read once `bytes` of it are there, and as many more as it counts. */
struct client_rule {
	uint8_t type;
	size_t bytes;
	size_t count_at, count_bytes; /* where it says how many items follow: 0 or 1 or 2 bytes of it */
	size_t item_bytes, items_max;
	ssize_t (*read)(const uint8_t *bytes, size_t length, struct client_message *message);
};

static const struct client_rule rules[] = {
	{ .type = SET_PIXEL_FORMAT, .bytes = 20, .read = read_pixel_format },
	{ .type = SET_ENCODINGS,
	  .bytes = 4,
	  .count_at = 2,
	  .count_bytes = 2,
	  .item_bytes = 4,
	  .items_max = CLIENT_ENCODINGS_MAX,
	  .read = read_encodings },
	{ .type = UPDATE_REQUEST, .bytes = 10, .read = read_request },
	{ .type = KEY_EVENT, .bytes = 8, .read = read_key },
	{ .type = POINTER_EVENT, .bytes = 6, .read = read_pointer },
	{ .type = CUT_TEXT, .bytes = 8, .read = read_cut },
	{ .type = SET_DESKTOP_SIZE,
	  .bytes = 8,
	  .count_at = 6,
	  .count_bytes = 1,
	  .item_bytes = 16,
	  .items_max = UINT8_MAX,
	  .read = read_size },
	{ .type = QEMU_MESSAGE, .bytes = 12, .read = read_qemu_key },
};

static const struct client_rule *find_rule(const uint8_t *bytes, size_t count)
{
	/* QEMU's other message is about sound, which is not offered. */
	if (bytes[0] == QEMU_MESSAGE && count > 1 && bytes[1] != QEMU_KEY_EVENT)
		return NULL;
	for (unsigned i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (rules[i].type == bytes[0])
			return &rules[i];
	}
	return NULL;
}

static size_t count_items(const struct client_rule *rule, const uint8_t *bytes)
{
	if (rule->count_bytes == 0)
		return 0;
	return rule->count_bytes == 1 ? bytes[rule->count_at] : big16_get(bytes + rule->count_at);
}

ssize_t client_message_read(enum client_stage stage, const uint8_t *bytes, size_t count,
			    struct client_message *ret_message)
{
	const struct client_rule *rule;
	struct client_message message = { 0 };
	size_t items, length;
	ssize_t result;

	if (count == 0)
		return 0;
	if (stage != CLIENT_NORMAL) {
		result = read_handshake(stage, bytes, count, &message);
	} else {
		rule = find_rule(bytes, count);
		if (!rule)
			return -EPROTO;
		if (count < rule->bytes)
			return 0;
		items = count_items(rule, bytes);
		if (items > rule->items_max)
			return -EPROTO;
		length = rule->bytes + items * rule->item_bytes;
		if (count < length)
			return 0;
		result = rule->read(bytes, length, &message);
	}
	if (result > 0)
		*ret_message = message;
	return result;
}
