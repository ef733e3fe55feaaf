/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the trees of shares (shares.c) do for changes at run time (share_changes.c). */
#ifndef VIADUCT_DAEMON_SHARE_SHARES_PRIVATE_H
#define VIADUCT_DAEMON_SHARE_SHARES_PRIVATE_H

#include "daemon/share/shares.h"

/* The place that a share has in the gate's tree; NULL: none. */
struct share_node *share_node_find(const struct share_gate *gate, struct share_id id);
/* Makes one share what it is to be, on all physical devices. */
void share_settle(struct daemon *daemon, struct share_id id);
/* The same for all shares that were refused something, and may get it now. */
void shares_settle_refused(struct daemon *daemon);

#endif
