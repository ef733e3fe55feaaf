/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A USB keyboard or tablet, as a host controller sees it: what it answers to requests, and its reports. It
 * has one configuration with one interface and one endpoint for reports, whatever brings them.
 */
#ifndef VIADUCT_DEVICES_INPUT_HID_DEVICE_H
#define VIADUCT_DEVICES_INPUT_HID_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/input/input_reports.h"
#include "devices/input/usb_format.h"
#include "devices/input/usb_input.h"

struct handover;

/* Of a report, and of a packet of the endpoint. */
#define HID_REPORT_BYTES_MAX 8u
/* Of an answer: all descriptors are shorter. */
#define HID_ANSWER_BYTES_MAX 256u
#define HID_CONTROL_PACKET   64u
#define HID_USAGES	     256u

struct hid_device {
	const struct usb_input_options *options;
	uint8_t configuration; /* 0: none */
	uint8_t protocol, idle, leds;
	bool wakes;  /* may wake its host */
	bool halted; /* the endpoint of reports */
	/* What the reports have told: usages that are down, a bit each; buttons, and where the pointer is. */
	uint8_t keys[HID_USAGES / 8];
	uint8_t buttons;
	uint16_t x, y;
	int8_t wheel; /* only of the report that comes next */
};

/* As it is after a reset. The LEDs go out. */
void hid_device_reset(struct hid_device *hid);
/* All keys and buttons are up. */
void hid_device_release(struct hid_device *hid);

/* Answers a request to read; returns the bytes, at most HID_ANSWER_BYTES_MAX, or -1: it is none. */
int hid_device_answer(const struct hid_device *hid, const struct usb_setup *setup, uint8_t *answer);
/* Does what a request to write says, with `bytes` of data; false: there is no such thing. */
bool hid_device_obey(struct hid_device *hid, const struct usb_setup *setup, const uint8_t *data,
		     size_t bytes);

/* The device has that key. */
bool hid_device_has_key(enum usb_input_kind kind, unsigned code);
/* An event of a report, but for its end. */
void hid_device_note(struct hid_device *hid, const struct input_report_event *event);
/* The report of what has been noted; returns its bytes. */
unsigned hid_device_report(const struct hid_device *hid, uint8_t report[HID_REPORT_BYTES_MAX]);

void hid_device_save(const struct hid_device *hid, struct handover *handover);
void hid_device_restore(struct hid_device *hid, struct handover *handover);

/* ---- hid_keyboard.c, hid_tablet.c: for hid_device.c ---- */

struct hid_description {
	const uint8_t *report;
	uint8_t report_bytes;
	uint8_t subclass, protocol; /* of the interface */
	uint8_t interval;	    /* of the endpoint: 2^(n - 1) microframes */
	uint16_t product;
	const char *name;
};

extern const struct hid_description hid_keyboard_description, hid_tablet_description;

/* The usage of a key, or 0. */
uint8_t hid_keyboard_usage(unsigned code);
unsigned hid_keyboard_report(const struct hid_device *hid, uint8_t report[HID_REPORT_BYTES_MAX]);
/* The LEDs that a report of the host lights. */
void hid_keyboard_light(struct hid_device *hid, uint8_t leds);
void hid_tablet_note(struct hid_device *hid, const struct input_report_event *event);
unsigned hid_tablet_report(const struct hid_device *hid, uint8_t report[HID_REPORT_BYTES_MAX]);

#endif
