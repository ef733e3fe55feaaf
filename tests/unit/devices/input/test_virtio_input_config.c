/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a driver is told of a keyboard and a tablet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <endian.h>
#include <linux/input.h>
#include <string.h>

#include "devices/input/virtio_input.h"
#include "devices/input/virtio_input_format.h"

static struct virtio_input *device;

static void create(enum virtio_input_kind kind)
{
	const struct virtio_input_options options = { .kind = kind };

	assert_int_equal(virtio_input_create(&options, &device), 0);
}

static void destroy(void)
{
	virtio_input_destroy(device);
}

static struct virtio_input_config ask(uint8_t select, uint8_t subsel)
{
	const uint8_t chosen[2] = { select, subsel };
	struct virtio_input_config config;

	assert_int_equal(virtio_input_model.config_write(device, 0, 0, chosen, sizeof(chosen)), 0);
	assert_int_equal(virtio_input_model.config_size(device), sizeof(config));
	virtio_input_model.config_read(device, 0, &config, sizeof(config));
	assert_int_equal(config.select, select);
	assert_int_equal(config.subsel, subsel);
	for (unsigned i = config.size; i < VIRTIO_INPUT_BITMAP_BYTES; i++)
		assert_int_equal(config.data.bitmap[i], 0);
	return config;
}

static bool has_bit(const struct virtio_input_config *config, unsigned bit)
{
	return config->data.bitmap[bit / 8] >> bit % 8 & 1;
}

static void what_a_keyboard_is(void **state)
{
	struct virtio_input_config config;

	create(VIRTIO_INPUT_KEYBOARD);
	config = ask(VIRTIO_INPUT_CFG_ID_NAME, 0);
	assert_int_equal(config.size, strlen("Viaduct Keyboard"));
	assert_memory_equal(config.data.string, "Viaduct Keyboard", config.size);
	config = ask(VIRTIO_INPUT_CFG_ID_DEVIDS, 0);
	assert_int_equal(config.size, 8);
	assert_int_equal(le16toh(config.data.ids.bustype), BUS_VIRTUAL);
	config = ask(VIRTIO_INPUT_CFG_EV_BITS, EV_KEY);
	assert_true(has_bit(&config, KEY_A) && has_bit(&config, KEY_RIGHTMETA) &&
		    has_bit(&config, KEY_102ND));
	assert_false(has_bit(&config, KEY_RESERVED) || has_bit(&config, BTN_LEFT));
	config = ask(VIRTIO_INPUT_CFG_EV_BITS, EV_LED);
	assert_true(has_bit(&config, LED_CAPSL));
	assert_true(ask(VIRTIO_INPUT_CFG_EV_BITS, EV_REP).size > 0);
	assert_int_equal(ask(VIRTIO_INPUT_CFG_EV_BITS, EV_ABS).size, 0);
	assert_int_equal(ask(VIRTIO_INPUT_CFG_ABS_INFO, ABS_X).size, 0);
	destroy();
}

static void what_a_tablet_is(void **state)
{
	struct virtio_input_config config;

	create(VIRTIO_INPUT_TABLET);
	config = ask(VIRTIO_INPUT_CFG_EV_BITS, EV_KEY);
	assert_true(has_bit(&config, BTN_LEFT) && has_bit(&config, BTN_RIGHT) &&
		    has_bit(&config, BTN_MIDDLE));
	assert_false(has_bit(&config, KEY_A) || has_bit(&config, BTN_SIDE));
	config = ask(VIRTIO_INPUT_CFG_EV_BITS, EV_ABS);
	assert_int_equal(config.size, 1);
	assert_int_equal(config.data.bitmap[0], 3);
	config = ask(VIRTIO_INPUT_CFG_EV_BITS, EV_REL);
	assert_true(has_bit(&config, REL_WHEEL));
	for (uint8_t axis = ABS_X; axis <= ABS_Y; axis++) {
		config = ask(VIRTIO_INPUT_CFG_ABS_INFO, axis);
		assert_int_equal(config.size, 20);
		assert_int_equal(le32toh(config.data.absolute.min), 0);
		assert_int_equal(le32toh(config.data.absolute.max), INPUT_AXIS_MAX);
	}
	assert_int_equal(ask(VIRTIO_INPUT_CFG_EV_BITS, EV_LED).size, 0);
	destroy();
}

/* Whatever is selected, and however it is written: an answer, if only that there is none. */
static void all_that_can_be_selected(void **state)
{
	uint8_t whole[VIRTIO_INPUT_CONFIG_BYTES];

	for (unsigned kind = VIRTIO_INPUT_KEYBOARD; kind <= VIRTIO_INPUT_TABLET; kind++) {
		create(kind);
		for (unsigned select = 0; select < 256; select++)
			for (unsigned subsel = 0; subsel < 256; subsel++)
				assert_true(ask((uint8_t)select, (uint8_t)subsel).size <=
					    VIRTIO_INPUT_BITMAP_BYTES);
		memset(whole, 0xff, sizeof(whole));
		whole[0] = VIRTIO_INPUT_CFG_EV_BITS;
		whole[1] = EV_LED;
		assert_int_equal(virtio_input_model.config_write(device, 0, 0, whole, sizeof(whole)), 0);
		whole[0] = EV_KEY;
		assert_int_equal(virtio_input_model.config_write(device, 0, 1, whole, 1), 0);
		assert_int_equal(virtio_input_model.config_write(device, 0, 2, whole, 100), 0);
		virtio_input_model.config_read(device, 0, whole, sizeof(whole));
		assert_int_equal(whole[0], VIRTIO_INPUT_CFG_EV_BITS);
		assert_int_equal(whole[1], EV_KEY);
		assert_true(whole[2] > 0);
		virtio_input_model.reset(device);
		virtio_input_model.config_read(device, 0, whole, sizeof(whole));
		assert_int_equal(whole[0] | whole[1] | whole[2], 0);
		destroy();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_keyboard_is),
		cmocka_unit_test(what_a_tablet_is),
		cmocka_unit_test(all_that_can_be_selected),
	};

	return cmocka_run_group_tests_name("virtio_input_config", tests, NULL, NULL);
}
