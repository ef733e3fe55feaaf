/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/endpoint_accounts.h"

#include <stdlib.h>

#include "core/loop_account.h"

struct endpoint_account {
	struct loop_account *account;
	const struct loop *worker;
	struct endpoint_account *next;
};

void endpoint_accounts_close(struct endpoint_accounts *accounts)
{
	while (accounts->first) {
		struct endpoint_account *account = accounts->first;

		accounts->first = account->next;
		loop_account_close(account->account);
		free(account);
	}
}

struct loop_account *endpoint_accounts_get(struct endpoint_accounts *accounts, struct loop *worker)
{
	struct endpoint_account *account = accounts->first;

	while (account && account->worker != worker)
		account = account->next;
	if (account)
		return account->account;
	account = calloc(1, sizeof(*account));
	if (!account)
		return NULL;
	account->account = loop_account_create(accounts->guest, worker);
	if (!account->account) {
		free(account);
		return NULL;
	}
	loop_account_set_weight(account->account, accounts->weight);
	account->worker = worker;
	account->next = accounts->first;
	accounts->first = account;
	return account->account;
}

void endpoint_accounts_set_weight(struct endpoint_accounts *accounts, uint32_t weight)
{
	accounts->weight = weight;
	for (struct endpoint_account *account = accounts->first; account; account = account->next)
		loop_account_set_weight(account->account, weight);
}

uint64_t endpoint_accounts_used_ns(const struct endpoint_accounts *accounts)
{
	uint64_t ns = 0;

	for (const struct endpoint_account *account = accounts->first; account; account = account->next)
		ns += counter_read(&account->account->used_ns);
	return ns;
}
