/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VIADUCT_TESTS_TOY_ECHO_DEVICE_H
#define VIADUCT_TESTS_TOY_ECHO_DEVICE_H

#include "daemon/config/config.h"
#include "daemon/device/device_kind.h"

extern const struct config_section config_section_echo;
extern const struct device_kind echo_device_kind;

#endif
