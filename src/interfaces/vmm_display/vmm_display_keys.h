/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of QEMU's key numbers a key of linux/input-event-codes.h has. */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_KEYS_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_KEYS_H

#include <stdint.h>

/* The code of set 1 of an XT keyboard, with 0x80 where its prefix e0 would be; 0: QEMU has no such key. */
uint32_t vmm_display_key_number(uint32_t code);

#endif
