/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a driver is told of the device (virtio 1.2, 5.8.5). */
#include <assert.h>
#include <endian.h>
#include <linux/input.h>
#include <string.h>

#include "devices/input/virtio_input_private.h"

/* As QEMU's own, for which guests have drivers and settings. */
#define VENDOR		 0x0627
#define PRODUCT_KEYBOARD 0x0001
#define PRODUCT_TABLET	 0x0003

static const uint8_t keyboard_leds[] = { LED_NUML, LED_CAPSL, LED_SCROLLL };
static const uint8_t keyboard_repeat[] = { REP_DELAY, REP_PERIOD };
static const uint8_t tablet_wheels[] = { REL_WHEEL };
static const uint8_t tablet_axes[] = { ABS_X, ABS_Y };

bool input_has_key(const struct virtio_input *device, unsigned code)
{
	if (device->options.kind == VIRTIO_INPUT_TABLET)
		return code >= BTN_LEFT && code <= BTN_MIDDLE;
	return code > KEY_RESERVED && code <= KEY_MICMUTE;
}

static void set_bit(struct virtio_input_config *config, unsigned bit)
{
	assert(bit / 8 < VIRTIO_INPUT_BITMAP_BYTES);
	config->data.bitmap[bit / 8] |= (uint8_t)(1u << bit % 8);
	if (config->size < bit / 8 + 1)
		config->size = (uint8_t)(bit / 8 + 1);
}

static void set_bits(struct virtio_input_config *config, const uint8_t *bits, size_t count)
{
	for (size_t i = 0; i < count; i++)
		set_bit(config, bits[i]);
}

static void describe_events(const struct virtio_input *device, struct virtio_input_config *config)
{
	bool tablet = device->options.kind == VIRTIO_INPUT_TABLET;

	if (config->subsel == EV_KEY) {
		for (unsigned code = 0; code < KEY_CNT; code++)
			if (input_has_key(device, code))
				set_bit(config, code);
	} else if (config->subsel == EV_LED && !tablet) {
		set_bits(config, keyboard_leds, sizeof(keyboard_leds));
	} else if (config->subsel == EV_REP && !tablet) {
		set_bits(config, keyboard_repeat, sizeof(keyboard_repeat));
	} else if (config->subsel == EV_REL && tablet) {
		set_bits(config, tablet_wheels, sizeof(tablet_wheels));
	} else if (config->subsel == EV_ABS && tablet) {
		set_bits(config, tablet_axes, sizeof(tablet_axes));
	}
}

void input_describe(const struct virtio_input *device, struct virtio_input_config *ret_config)
{
	bool tablet = device->options.kind == VIRTIO_INPUT_TABLET;
	const char *name = tablet ? "Viaduct Tablet" : "Viaduct Keyboard";

	*ret_config = (struct virtio_input_config){ .select = device->select, .subsel = device->subsel };
	switch (device->select) {
	case VIRTIO_INPUT_CFG_ID_NAME:
		if (device->subsel != 0)
			break;
		ret_config->size = (uint8_t)strlen(name);
		memcpy(ret_config->data.string, name, strlen(name));
		break;
	case VIRTIO_INPUT_CFG_ID_DEVIDS:
		if (device->subsel != 0)
			break;
		ret_config->size = sizeof(ret_config->data.ids);
		ret_config->data.ids.bustype = htole16(BUS_VIRTUAL);
		ret_config->data.ids.vendor = htole16(VENDOR);
		ret_config->data.ids.product = htole16(tablet ? PRODUCT_TABLET : PRODUCT_KEYBOARD);
		ret_config->data.ids.version = htole16(1);
		break;
	case VIRTIO_INPUT_CFG_EV_BITS:
		describe_events(device, ret_config);
		break;
	case VIRTIO_INPUT_CFG_ABS_INFO:
		if (!tablet || (device->subsel != ABS_X && device->subsel != ABS_Y))
			break;
		ret_config->size = sizeof(ret_config->data.absolute);
		ret_config->data.absolute.max = htole32(INPUT_AXIS_MAX);
		break;
	default:
		break;
	}
}
