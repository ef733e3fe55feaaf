/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pointer with two absolute axes, three buttons and a wheel, in reports of six bytes. */
#include <assert.h>

#include "devices/input/hid_device.h"

/* HID 1.11, 6.2.2; usages of the Generic Desktop and the Button page. */
static const uint8_t report_descriptor[] = {
	0x05, 0x01,	  /* Usage Page (Generic Desktop) */
	0x09, 0x02,	  /* Usage (Mouse) */
	0xa1, 0x01,	  /* Collection (Application) */
	0x09, 0x01,	  /* Usage (Pointer) */
	0xa1, 0x00,	  /* Collection (Physical) */
	0x05, 0x09,	  /* Usage Page (Button) */
	0x19, 0x01,	  /* Usage Minimum (1) */
	0x29, 0x03,	  /* Usage Maximum (3) */
	0x15, 0x00,	  /* Logical Minimum (0) */
	0x25, 0x01,	  /* Logical Maximum (1) */
	0x95, 0x03,	  /* Report Count (3) */
	0x75, 0x01,	  /* Report Size (1) */
	0x81, 0x02,	  /* Input (Data, Variable, Absolute) */
	0x95, 0x01,	  /* Report Count (1) */
	0x75, 0x05,	  /* Report Size (5) */
	0x81, 0x01,	  /* Input (Constant) */
	0x05, 0x01,	  /* Usage Page (Generic Desktop) */
	0x09, 0x30,	  /* Usage (X) */
	0x09, 0x31,	  /* Usage (Y) */
	0x15, 0x00,	  /* Logical Minimum (0) */
	0x26, 0xff, 0x7f, /* Logical Maximum (32767) */
	0x35, 0x00,	  /* Physical Minimum (0) */
	0x46, 0xff, 0x7f, /* Physical Maximum (32767) */
	0x75, 0x10,	  /* Report Size (16) */
	0x95, 0x02,	  /* Report Count (2) */
	0x81, 0x02,	  /* Input (Data, Variable, Absolute) */
	0x09, 0x38,	  /* Usage (Wheel) */
	0x15, 0x81,	  /* Logical Minimum (-127) */
	0x25, 0x7f,	  /* Logical Maximum (127) */
	0x35, 0x00,	  /* Physical Minimum (0: as the logical one) */
	0x45, 0x00,	  /* Physical Maximum (0: as the logical one) */
	0x75, 0x08,	  /* Report Size (8) */
	0x95, 0x01,	  /* Report Count (1) */
	0x81, 0x06,	  /* Input (Data, Variable, Relative) */
	0xc0,		  /* End Collection */
	0xc0,		  /* End Collection */
};

const struct hid_description hid_tablet_description = {
	.report = report_descriptor,
	.report_bytes = sizeof(report_descriptor),
	.interval = 4, /* 1 ms */
	.product = 0x0003,
	.name = "USB Tablet",
};

static void note_button(struct hid_device *hid, unsigned code, bool down)
{
	uint8_t button;

	assert(code >= BTN_LEFT && code <= BTN_MIDDLE);
	button = (uint8_t)(1u << (code - BTN_LEFT));
	hid->buttons = (uint8_t)(down ? hid->buttons | button : hid->buttons & ~button);
}

void hid_tablet_note(struct hid_device *hid, const struct input_report_event *event)
{
	if (event->type == EV_KEY)
		note_button(hid, event->code, event->value);
	else if (event->type == EV_ABS)
		*(event->code == ABS_X ? &hid->x : &hid->y) = (uint16_t)event->value;
	else if (event->type == EV_REL)
		hid->wheel = (int8_t)event->value;
}

unsigned hid_tablet_report(const struct hid_device *hid, uint8_t report[HID_REPORT_BYTES_MAX])
{
	report[0] = hid->buttons;
	report[1] = (uint8_t)hid->x;
	report[2] = (uint8_t)(hid->x >> 8);
	report[3] = (uint8_t)hid->y;
	report[4] = (uint8_t)(hid->y >> 8);
	report[5] = (uint8_t)hid->wheel;
	return 6;
}
