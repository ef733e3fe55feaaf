/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Switches as the daemon has them: an arbiter's switch, its uplink, and the forwards that lead through that.
 * Control thread. (The first file is switch_life.c, because "switch" is a keyword.)
 *
 *   switch_config.c    the section [switch]
 *   switch_life.c      switches come and go: start, reload, takeover, end
 *   switch_gate.c      the uplink's time, of which cards have shares
 *   uplink.c           the physical card of a switch
 *   uplink_retry.c     one that could not be opened is tried again
 *   forwards.c         connections to the host that lead to a guest
 *   leases.c           addresses that DHCP gives cards
 *   switch_report.c    what is told of switches: status, metrics
 */
#ifndef VIADUCT_DAEMON_NIC_SWITCH_H
#define VIADUCT_DAEMON_NIC_SWITCH_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "daemon/base/daemon.h"
#include "daemon/nic/switch_config.h"
#include "daemon/share/shares.h"

struct change_report;
struct handover;

struct switch_uplink {
	struct uplink_name name;
	struct host_nic *nic; /* NULL: none is open */
	struct port *port;
	bool running;	    /* on the switch's worker */
	struct error error; /* why there is none, although there should be one */
};

/* While the uplink has an error that time may mend. */
struct switch_retry {
	struct loop_timer timer;
	unsigned tries; /* how often it was tried again */
	uint64_t at_ns; /* the next time; 0: never */
	int socket_fd;	/* made while there was a right to it: for an interface that is not there. -1: none */
};

struct switch_forward {
	struct switch_forward *next;
	struct nic_user_forward forward;
	bool configured; /* else added at run time */
	int code;	 /* 0: it works, else -errno: why not */
};

struct daemon_switch {
	struct daemon_switch *next; /* in daemon.switches */
	struct daemon *daemon;
	struct log_subject subject; /* "switch lan" */
	char name[CONFIG_NAME_SIZE];
	struct vswitch *vswitch;
	/* Serves the uplink and its cards' first queues, so that frames between them are copied once */
	unsigned first_worker;
	unsigned cards; /* that are plugged in */
	struct loop_timer ageing;
	struct switch_uplink uplink;
	struct switch_retry retry;
	struct share_gate gate; /* also without an uplink: limits hold between guests, too */
	struct switch_forward *forwards;
	/* Uplink user: which card has which address of DHCP; zero: nobody */
	uint8_t leases[NIC_USER_LEASES_MAX][FRAME_ADDRESS_BYTES];
};

/* ---- switch_life.c ---- */

/* NULL: there is none. */
struct daemon_switch *daemon_switch_find(const struct daemon *daemon, const char *name);

/* Start: with rights that are given up later, opens uplinks; then, when its cards are there, lets frames in.
 */
void switches_open(struct daemon *daemon);
void switches_start(struct daemon *daemon);
void switches_close(struct daemon *daemon);

/* Reload: before and after that of the cards. */
void switches_reload(struct daemon *daemon, const struct config *old, struct change_report *report);
void switches_remove(struct daemon *daemon, struct change_report *report);

/* Takeover: see struct device_kind. */
void switches_stand_still(struct daemon *daemon, bool still);
void switches_hand_over(struct daemon *daemon, struct handover *header);

/* In a takeover: an uplink that the predecessor had and we could not open is a message each. */
void switches_check_open(const struct daemon *daemon, const struct config *config,
			 struct config_messages *messages);

/* viaductd --check. */
void switches_plan(const struct config *config, const char *force_format, FILE *out,
		   struct config_messages *messages);
/* Do switches need sockets of the internet families while they run? */
bool switches_need_internet(const struct config *config);
/* Do they have interfaces of the host's as uplinks? */
bool switches_need_interfaces(const struct config *config);

/* ---- switch_gate.c ---- */

/* Returns 0 or -ENOMEM. */
int switch_gate_open(struct daemon_switch *owner);
/* No card has a share of it any more. */
void switch_gate_close(struct daemon_switch *owner);
/* The section is another, or the uplink. */
void switch_gate_update(struct daemon_switch *owner, const struct config_switch *settings);

/* ---- uplink.c ---- */

/*
 * Opens the card that the section names ("none": no card), in place of the one that is there, which stays
 * when this fails. Frames pass after uplink_start(). Returns 0, or -errno with *error.
 */
int uplink_open(struct daemon_switch *owner, const struct config_switch *settings, struct error *error);
void uplink_close(struct daemon_switch *owner);

#define UPLINK_KEY_MAX (CONFIG_NAME_SIZE + 16)
/* Under this name a descriptor is handed to a successor: another tap is another uplink. */
void uplink_key(const struct daemon_switch *owner, const struct uplink_name *name, char key[UPLINK_KEY_MAX]);
/* Returns 0, or -errno with *error. Nothing to do: 0. */
int uplink_start(struct daemon_switch *owner, struct error *error);
void uplink_stop(struct daemon_switch *owner);

/* "packet:card0". */
#define UPLINK_TEXT_MAX (NIC_NAME_BYTES + 8)
const char *uplink_text(const struct uplink_name *name, char text[UPLINK_TEXT_MAX]);

/* ---- uplink_retry.c ---- */

void uplink_retry_init(struct daemon_switch *owner);
/* uplink.error was set or cleared, as far as it says of the section: it is tried again from now on, or not.
 */
void uplink_retry_update(struct daemon_switch *owner);
/* No more tries, until the next update. */
void uplink_retry_stop(struct daemon_switch *owner);
void uplink_retry_finish(struct daemon_switch *owner);
/* Seconds until the next try, 1 at least; 0: there is none. */
unsigned uplink_retry_seconds(const struct daemon_switch *owner);

/* ---- forwards.c ---- */

/* Makes the list what the section and the state directory say. */
void forwards_load(struct daemon_switch *owner, const struct config_switch *settings);
/* Another section: adds and removes what differs. Returns how many changes there were. */
unsigned forwards_reload(struct daemon_switch *owner, const struct config_switch *settings);
/* The uplink was opened: tells it of all. */
void forwards_apply(struct daemon_switch *owner);
/* What failed may be possible now: the host's port is free again. */
void forwards_retry(struct daemon_switch *owner);
void forwards_free(struct daemon_switch *owner);

/* At run time, and kept over restarts. Return 0, or -errno with *error. */
int forward_add(struct daemon_switch *owner, const char *text, struct error *error);
int forward_remove(struct daemon_switch *owner, const char *text, struct error *error);

/* ---- leases.c ---- */

/* The uplink was opened: tells it which card has which address. */
void leases_apply(struct daemon_switch *owner);
/* There may be other cards: those that have none get an address. */
void leases_update(struct daemon_switch *owner);
/* The address that DHCP gives the card with that Ethernet address; false: none. */
bool lease_text(const struct daemon_switch *owner, const uint8_t address[FRAME_ADDRESS_BYTES],
		char text[INET_ADDRSTRLEN]);

/* ---- switch_report.c ---- */

/* `with_table`: with what it knows of addresses. */
json_t *switch_json(const struct daemon_switch *reported, bool with_table);
json_t *switches_json(const struct daemon *daemon);
json_t *forwards_json(const struct daemon_switch *reported);
void switches_print_metrics(struct daemon *daemon, FILE *out);

#endif
