/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to the device (USB 2.0, 9.4; HID 1.11, 7), and its descriptors. */
#include "devices/input/hid_device.h"

#include <assert.h>
#include <string.h>

#include "core/handover.h"

/* As QEMU's own, for which guests have drivers and settings. */
#define VENDOR		    0x0627u
#define INTERFACE_HID	    3
#define ENDPOINT_IN	    0x81
#define ENDPOINT_INTERRUPT  3
#define SELF_WAKES	    0xa0 /* bmAttributes: bus-powered, remote wakeup */
#define POWER_2_MA	    50
#define CONFIGURATION_BYTES 34u
#define HID_BYTES	    9u
#define HID_AT		    18u /* in the configuration */
#define ENGLISH		    0x0409

#define LOW(value)  ((uint8_t)(value))
#define HIGH(value) ((uint8_t)((value) >> 8))

static const struct hid_description *description_of(const struct hid_device *hid)
{
	return hid->options->kind == USB_INPUT_KEYBOARD ? &hid_keyboard_description : &hid_tablet_description;
}

void hid_device_release(struct hid_device *hid)
{
	memset(hid->keys, 0, sizeof(hid->keys));
	hid->buttons = 0;
	hid->wheel = 0;
}

void hid_device_reset(struct hid_device *hid)
{
	hid_device_release(hid);
	hid_keyboard_light(hid, 0);
	hid->configuration = hid->idle = 0;
	hid->protocol = HID_PROTOCOL_REPORT;
	hid->wakes = hid->halted = false;
	hid->x = hid->y = 0;
}

/* ---- descriptors ---- */

static int describe_device(const struct hid_description *description, uint8_t *answer)
{
	/* 9.6.1: USB 2.0, the class is the interface's, strings 1 and 2, one configuration. */
	const uint8_t device[] = {
		18, USB_DESCRIPTOR_DEVICE, 0x00, 0x02, 0, 0, 0, HID_CONTROL_PACKET, LOW(VENDOR), HIGH(VENDOR),
		LOW(description->product), HIGH(description->product), 0x00, 0x01, 1, 2, 0, 1,
	};

	memcpy(answer, device, sizeof(device));
	return sizeof(device);
}

static int describe_configuration(const struct hid_description *description, uint8_t *answer)
{
	const uint8_t configuration[] = {
		/* 9.6.3: one interface, configuration 1. */
		9, USB_DESCRIPTOR_CONFIGURATION, CONFIGURATION_BYTES, 0, 1, 1, 0, SELF_WAKES, POWER_2_MA,
		/* 9.6.5: one endpoint. */
		9, USB_DESCRIPTOR_INTERFACE, 0, 0, 1, INTERFACE_HID, description->subclass,
		description->protocol, 0,
		/* HID 1.11, 6.2.1. */
		HID_BYTES, USB_DESCRIPTOR_HID, 0x11, 0x01, 0, 1, USB_DESCRIPTOR_REPORT,
		description->report_bytes, 0,
		/* 9.6.6 */
		7, USB_DESCRIPTOR_ENDPOINT, ENDPOINT_IN, ENDPOINT_INTERRUPT, HID_REPORT_BYTES_MAX, 0,
		description->interval,
	};

	_Static_assert(sizeof(configuration) == CONFIGURATION_BYTES, "9.6.3");
	memcpy(answer, configuration, sizeof(configuration));
	return sizeof(configuration);
}

/* 9.6.7: UTF-16. String 0 is the list of languages. */
static int describe_string(const struct hid_description *description, unsigned index, uint8_t *answer)
{
	const char *const strings[] = { "", "Viaduct", description->name };
	size_t length;

	if (index >= sizeof(strings) / sizeof(strings[0]))
		return -1;
	length = index == 0 ? 1 : strlen(strings[index]);
	assert(2 + 2 * length <= HID_ANSWER_BYTES_MAX);
	answer[0] = (uint8_t)(2 + 2 * length);
	answer[1] = USB_DESCRIPTOR_STRING;
	for (size_t i = 0; i < length; i++) {
		answer[2 + 2 * i] = (uint8_t)strings[index][i];
		answer[3 + 2 * i] = 0;
	}
	if (index == 0) {
		answer[2] = LOW(ENGLISH);
		answer[3] = HIGH(ENGLISH);
	}
	return answer[0];
}

static int describe(const struct hid_description *description, const struct usb_setup *setup, uint8_t *answer)
{
	unsigned index = LOW(setup->value);

	switch (HIGH(setup->value)) {
	case USB_DESCRIPTOR_DEVICE:
		return index == 0 ? describe_device(description, answer) : -1;
	case USB_DESCRIPTOR_CONFIGURATION:
		return index == 0 ? describe_configuration(description, answer) : -1;
	case USB_DESCRIPTOR_STRING:
		return describe_string(description, index, answer);
	default:
		return -1;
	}
}

/* Of the interface (HID 1.11, 7.1.1). */
static int describe_interface(const struct hid_description *description, const struct usb_setup *setup,
			      uint8_t *answer)
{
	uint8_t configuration[CONFIGURATION_BYTES];

	if (LOW(setup->value) != 0 || setup->index != 0)
		return -1;
	switch (HIGH(setup->value)) {
	case USB_DESCRIPTOR_HID:
		describe_configuration(description, configuration);
		memcpy(answer, configuration + HID_AT, HID_BYTES);
		return HID_BYTES;
	case USB_DESCRIPTOR_REPORT:
		memcpy(answer, description->report, description->report_bytes);
		return description->report_bytes;
	default:
		return -1;
	}
}

/* ---- requests ---- */

static int answer_bytes(uint8_t *answer, unsigned value, int bytes)
{
	answer[0] = LOW(value);
	if (bytes > 1)
		answer[1] = HIGH(value);
	return bytes;
}

static int answer_report(const struct hid_device *hid, const struct usb_setup *setup, uint8_t *answer)
{
	if (LOW(setup->value) != 0)
		return -1;
	if (HIGH(setup->value) == HID_REPORT_INPUT)
		return (int)hid_device_report(hid, answer);
	if (HIGH(setup->value) == HID_REPORT_OUTPUT && hid->options->kind == USB_INPUT_KEYBOARD)
		return answer_bytes(answer, hid->leds, 1);
	return -1;
}

static bool is_endpoint(const struct usb_setup *setup)
{
	return LOW(setup->index) == ENDPOINT_IN;
}

static bool is_control(const struct usb_setup *setup)
{
	return (setup->index & 0x7f) == 0;
}

/* Requests to the interface, and its endpoint, that need no configuration are none of a driver's (9.4). */
int hid_device_answer(const struct hid_device *hid, const struct usb_setup *setup, uint8_t *answer)
{
	const struct hid_description *description = description_of(hid);

	switch (USB_REQUEST(setup->type, setup->request)) {
	case USB_GET_DEVICE_STATUS:
		return answer_bytes(answer, hid->wakes ? 2 : 0, 2);
	case USB_GET_INTERFACE_STATUS:
		return setup->index == 0 ? answer_bytes(answer, 0, 2) : -1;
	case USB_GET_ENDPOINT_STATUS:
		if (is_control(setup))
			return answer_bytes(answer, 0, 2);
		return is_endpoint(setup) ? answer_bytes(answer, hid->halted, 2) : -1;
	case USB_GET_DESCRIPTOR:
		return describe(description, setup, answer);
	case USB_GET_CONFIGURATION:
		return answer_bytes(answer, hid->configuration, 1);
	case USB_GET_INTERFACE:
		return setup->index == 0 ? answer_bytes(answer, 0, 1) : -1;
	case HID_GET_DESCRIPTOR:
		return describe_interface(description, setup, answer);
	case HID_GET_REPORT:
		return answer_report(hid, setup, answer);
	case HID_GET_IDLE:
		return answer_bytes(answer, hid->idle, 1);
	case HID_GET_PROTOCOL:
		return description->subclass ? answer_bytes(answer, hid->protocol, 1) : -1;
	default:
		return -1;
	}
}

static bool set_feature(struct hid_device *hid, const struct usb_setup *setup, bool on)
{
	if (setup->type == 0) {
		if (setup->value != USB_FEATURE_REMOTE_WAKEUP)
			return false;
		hid->wakes = on;
		return true;
	}
	if (setup->value != USB_FEATURE_HALT)
		return false;
	/* The control endpoint is never halted: there is nothing to clear. */
	if (is_control(setup))
		return !on;
	if (!is_endpoint(setup))
		return false;
	hid->halted = on;
	return true;
}

static bool set_configuration(struct hid_device *hid, const struct usb_setup *setup)
{
	if (setup->value > 1)
		return false;
	hid->configuration = LOW(setup->value);
	hid->halted = false;
	return true;
}

static bool set_report(struct hid_device *hid, const struct usb_setup *setup, const uint8_t *data,
		       size_t bytes)
{
	if (hid->options->kind != USB_INPUT_KEYBOARD || setup->value != HID_REPORT_OUTPUT << 8 || bytes == 0)
		return false;
	hid_keyboard_light(hid, data[0]);
	return true;
}

/*
 * A rate of SET_IDLE other than 0 asks for reports of what has not changed: nobody needs them, and a timer
 * would cost something while nothing happens. The rate is remembered, no more.
 */
bool hid_device_obey(struct hid_device *hid, const struct usb_setup *setup, const uint8_t *data, size_t bytes)
{
	switch (USB_REQUEST(setup->type, setup->request)) {
	case USB_SET_DEVICE_FEATURE:
	case USB_SET_ENDPOINT_FEATURE:
		return set_feature(hid, setup, true);
	case USB_CLEAR_DEVICE_FEATURE:
	case USB_CLEAR_ENDPOINT_FEATURE:
		return set_feature(hid, setup, false);
	case USB_SET_CONFIGURATION:
		return set_configuration(hid, setup);
	case USB_SET_INTERFACE:
		return setup->value == 0 && setup->index == 0;
	case HID_SET_REPORT:
		return set_report(hid, setup, data, bytes);
	case HID_SET_IDLE:
		hid->idle = HIGH(setup->value);
		return true;
	case HID_SET_PROTOCOL:
		if (description_of(hid)->subclass == 0 || setup->value > HID_PROTOCOL_REPORT)
			return false;
		hid->protocol = LOW(setup->value);
		return true;
	default:
		return false;
	}
}

/* ---- reports ---- */

bool hid_device_has_key(enum usb_input_kind kind, unsigned code)
{
	if (kind == USB_INPUT_TABLET)
		return code >= BTN_LEFT && code <= BTN_MIDDLE;
	return hid_keyboard_usage(code) != 0;
}

static void note_key(struct hid_device *hid, unsigned usage, bool down)
{
	uint8_t bit = (uint8_t)(1u << usage % 8);
	uint8_t *byte = &hid->keys[usage / 8];

	*byte = (uint8_t)(down ? *byte | bit : *byte & ~bit);
}

void hid_device_note(struct hid_device *hid, const struct input_report_event *event)
{
	if (hid->options->kind == USB_INPUT_TABLET)
		hid_tablet_note(hid, event);
	else if (event->type == EV_KEY)
		note_key(hid, hid_keyboard_usage(event->code), event->value);
}

unsigned hid_device_report(const struct hid_device *hid, uint8_t report[HID_REPORT_BYTES_MAX])
{
	return hid->options->kind == USB_INPUT_TABLET ? hid_tablet_report(hid, report)
						      : hid_keyboard_report(hid, report);
}

/* ---- takeover ---- */

void hid_device_save(const struct hid_device *hid, struct handover *handover)
{
	handover_put_u64(handover, hid->configuration);
	handover_put_u64(handover, hid->protocol);
	handover_put_u64(handover, hid->idle);
	handover_put_u64(handover, hid->leds);
	handover_put_u64(handover, hid->wakes);
	handover_put_u64(handover, hid->halted);
	handover_put_bytes(handover, hid->keys, sizeof(hid->keys));
	handover_put_u64(handover, hid->buttons);
	handover_put_u64(handover, hid->x);
	handover_put_u64(handover, hid->y);
}

void hid_device_restore(struct hid_device *hid, struct handover *handover)
{
	hid->configuration = (uint8_t)handover_get_at_most(handover, 1);
	hid->protocol = (uint8_t)handover_get_at_most(handover, HID_PROTOCOL_REPORT);
	hid->idle = (uint8_t)handover_get_at_most(handover, UINT8_MAX);
	hid_keyboard_light(hid, (uint8_t)handover_get_at_most(handover, UINT8_MAX));
	hid->wakes = handover_get_flag(handover);
	hid->halted = handover_get_flag(handover);
	handover_get_exactly(handover, hid->keys, sizeof(hid->keys));
	hid->buttons = (uint8_t)handover_get_at_most(handover, 7);
	hid->x = (uint16_t)handover_get_at_most(handover, INPUT_AXIS_MAX);
	hid->y = (uint16_t)handover_get_at_most(handover, INPUT_AXIS_MAX);
}
