/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that speaks with the display of one VMM: with QEMU's D-Bus display, peer to peer. It is the
 * only one that parses what QEMU says, and the daemon hears of it through the fixed messages of
 * vmm_display_message.h.
 *
 *     QEMU                                      process                          daemon
 *       | ---- QMP: greeting ----------------->  |  vmm_display_qmp.c              |
 *       | <--- getfd + socket, add_client -----  |                                 |
 *       | <=== D-Bus: console, keys, pointer ==  |  vmm_display_console.c, _input  | <== keys, pointer
 *       | ==== D-Bus: Scanout, Update =======>   |  vmm_display_listener.c,        | ==> surface, damage
 *       |                                        |  _pixels (checks), _surface     |
 *
 * QEMU is the server in the authentication of both D-Bus connections, and each of them is one end of a
 * socketpair that is made here. Nothing here waits but one poll(): a QEMU that neither reads nor answers
 * costs a bounded number of messages, and one that sends without end what it sends itself.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_SERVE_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_SERVE_H

/*
 * Serves until either end closes, or until QEMU's display cannot be used, which the daemon is told. `peer` is
 * the stream socket on which QEMU speaks QMP, `inner` the daemon's socket of packets. Both belong to the
 * process, which ends after this.
 */
void vmm_display_serve(int peer, int inner);

#endif
