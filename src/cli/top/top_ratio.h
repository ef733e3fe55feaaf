/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arithmetic of `viaduct top`. Pure. */
#ifndef VIADUCT_CLI_TOP_TOP_RATIO_H
#define VIADUCT_CLI_TOP_TOP_RATIO_H

/* part / whole, 0 when there is no whole. */
static inline double ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static inline double least(double a, double b)
{
	return a < b ? a : b;
}

/* The one that is reached first; 0: no limit. */
static inline double lower_limit(double a, double b)
{
	if (a > 0 && b > 0)
		return least(a, b);
	return a > 0 ? a : b;
}

#endif
