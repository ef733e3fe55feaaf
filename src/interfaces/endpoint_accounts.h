/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who pays for an endpoint's work: an account of its guest on each worker that serves it. Control thread. */
#ifndef VIADUCT_INTERFACES_ENDPOINT_ACCOUNTS_H
#define VIADUCT_INTERFACES_ENDPOINT_ACCOUNTS_H

#include <stdint.h>

struct loop;
struct loop_account;
struct loop_guest;

struct endpoint_accounts {
	struct loop_guest *guest;		/* outlives them */
	struct endpoint_account *first;
	uint32_t weight;			/* of theirs; 0: the default */
};

/* Zeroed but for the guest. Idempotent. */
void endpoint_accounts_close(struct endpoint_accounts *accounts);
/* The account on that worker; NULL when out of memory. */
struct loop_account *endpoint_accounts_get(struct endpoint_accounts *accounts, struct loop *worker);
void endpoint_accounts_set_weight(struct endpoint_accounts *accounts, uint32_t weight);
/* Time of workers, ns. */
uint64_t endpoint_accounts_used_ns(const struct endpoint_accounts *accounts);

#endif
