/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mirror that a card's section asks for (`mirror = PATH`): its frames go into a file or a named pipe. The
 * control thread waits for neither: what the disk or the reader is too slow for is lost and counted. What
 * cannot be opened or written is tried again, and told once. Control thread.
 */
#ifndef VIADUCT_DAEMON_NIC_NIC_MIRROR_H
#define VIADUCT_DAEMON_NIC_NIC_MIRROR_H

#include <jansson.h>
#include <stdbool.h>

struct config;
struct config_messages;
struct config_nic;
struct daemon;
struct nic_device;

/* For the card's keys: size at which a file is kept as PATH.1 */
#define NIC_MIRROR_LIMIT_MIN	 (1ull << 20)
#define NIC_MIRROR_LIMIT_MAX	 (1ull << 50)
#define NIC_MIRROR_LIMIT_DEFAULT "1G"

/*
 * The card, which has its port, mirrors as configured from the control loop's next turn on: the privileges
 * are given up then. Returns whether that is another mirror than before.
 */
bool nic_mirror_set(struct nic_device *nic, const struct config_nic *settings);
/* What is told of it; NULL: the card has none. *ret_open: whether it is one of the port's mirrors now. */
json_t *nic_mirror_json(const struct nic_device *nic, bool *ret_open);
/* Before the port goes. What was captured is still written. */
void nic_mirror_stop(struct nic_device *nic);
/* At the daemon's end: until all is written, or the disk does not answer. */
void nic_mirrors_finish(struct daemon *daemon);

/* Two cards do not write to one file. */
void nic_mirror_check(const struct config *config, const struct config_nic *nic,
		      struct config_messages *messages);

#endif
