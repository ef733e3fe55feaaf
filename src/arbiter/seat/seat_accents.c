/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/seat/seat_accents.h"

#include <xkbcommon/xkbcommon-keysyms.h>

/*
 * An acute accent and then a space is an apostrophe in Linux, and in Windows where the layout has no key for
 * the apostrophe. A layout that has the key never gets here, as one stroke is preferred; so the pair is right
 * for all. The same holds for the diaeresis and the quotation mark. The bare accents "´" and "¨" are typed
 * differently in each, and are left out.
 */
static const struct seat_accent accents[] = {
	{ XKB_KEY_dead_grave, u" `AÀEÈIÌOÒUÙaàeèiìoòuù" },
	{ XKB_KEY_dead_acute, u" 'AÁEÉIÍOÓUÚYÝaáeéiíoóuúyýCĆcćLĹlĺNŃnńRŔrŕSŚsśZŹzź"
			      u"ΑΆΕΈΗΉΙΊΟΌΥΎΩΏαάεέηήιίοόυύωώϊΐϋΰ" },
	{ XKB_KEY_dead_circumflex, u" ^AÂEÊIÎOÔUÛaâeêiîoôuûCĈcĉGĜgĝHĤhĥJĴjĵSŜsŝWŴwŵYŶyŷ" },
	{ XKB_KEY_dead_tilde, u" ~AÃNÑOÕaãnñoõIĨiĩUŨuũ" },
	{ XKB_KEY_dead_diaeresis, u" \"AÄEËIÏOÖUÜaäeëiïoöuüyÿYŸΙΪΥΫιϊυϋ" },
	{ XKB_KEY_dead_abovering, u" °AÅaåUŮuů" },
	{ XKB_KEY_dead_cedilla, u" ¸CÇcçGĢgģKĶkķLĻlļNŅnņRŖrŗSŞsşTŢtţ" },
	{ XKB_KEY_dead_caron, u" ˇCČcčDĎdďEĚeěLĽlľNŇnňRŘrřSŠsšTŤtťZŽzž" },
	{ XKB_KEY_dead_breve, u" ˘AĂaăEĔeĕGĞgğIĬiĭOŎoŏUŬuŭ" },
	{ XKB_KEY_dead_macron, u" ¯AĀaāEĒeēIĪiīOŌoōUŪuū" },
	{ XKB_KEY_dead_ogonek, u" ˛AĄaąEĘeęIĮiįUŲuų" },
	{ XKB_KEY_dead_abovedot, u" ˙CĊcċEĖeėGĠgġIİZŻzż" },
	{ XKB_KEY_dead_doubleacute, u" ˝OŐoőUŰuű" },
	{ XKB_KEY_dead_stroke, u"OØoøDĐdđHĦhħLŁlłTŦtŧ" },
	{ XKB_KEY_dead_belowcomma, u"SȘsșTȚtț" },
};

const struct seat_accent *seat_accent_at(size_t index)
{
	return index < sizeof(accents) / sizeof(accents[0]) ? &accents[index] : NULL;
}
