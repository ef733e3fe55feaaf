/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/seat/seat_text.h"

#include <errno.h>
#include <ft2build.h>
#include <stdlib.h>
#include <string.h>
#include FT_FREETYPE_H

struct seat_font {
	FT_Library library;
	FT_Face face;
};

int seat_font_open(const char *path, unsigned pixels, struct seat_font **ret_font)
{
	struct seat_font *font = calloc(1, sizeof(*font));

	if (!font || FT_Init_FreeType(&font->library)) {
		free(font);
		return -ENOMEM;
	}
	if (FT_New_Face(font->library, path, 0, &font->face)) {
		FT_Done_FreeType(font->library);
		free(font);
		return -ENOENT;
	}
	if (FT_Set_Pixel_Sizes(font->face, 0, pixels)) {
		seat_font_close(font);
		return -ENOENT;
	}
	*ret_font = font;
	return 0;
}

void seat_font_close(struct seat_font *font)
{
	if (!font)
		return;
	FT_Done_Face(font->face);
	FT_Done_FreeType(font->library);
	free(font);
}

/* Renders one letter; NULL: the font has none. */
static FT_GlyphSlot render(struct seat_font *font, char letter)
{
	unsigned char code = (unsigned char)letter;

	if (code < ' ' || code > '~')
		code = '?';
	return FT_Load_Char(font->face, code, FT_LOAD_RENDER) ? NULL : font->face->glyph;
}

static unsigned width_of(struct seat_font *font, const char *text)
{
	unsigned width = 0;

	for (; *text; text++) {
		FT_GlyphSlot glyph = render(font, *text);

		width += glyph ? (unsigned)(glyph->advance.x >> 6) : 0;
	}
	return width;
}

/* What of the letter lies inside the mask. */
static void copy_letter(const FT_Bitmap *bitmap, int left, int top, pixman_image_t *mask)
{
	int width = pixman_image_get_width(mask), height = pixman_image_get_height(mask),
	    stride = pixman_image_get_stride(mask);
	uint8_t *to = (uint8_t *)pixman_image_get_data(mask);

	if (bitmap->pixel_mode != FT_PIXEL_MODE_GRAY)
		return;
	for (int y = 0; y < (int)bitmap->rows; y++)
		for (int x = 0; x < (int)bitmap->width; x++)
			if (left + x >= 0 && left + x < width && top + y >= 0 && top + y < height)
				to[(top + y) * stride + left + x] |= bitmap->buffer[y * bitmap->pitch + x];
}

pixman_image_t *seat_font_draw(struct seat_font *font, const char *text, unsigned height)
{
	const FT_Size_Metrics *size = &font->face->size->metrics;
	int ascent = (int)(size->ascender >> 6), descent = (int)(-size->descender >> 6),
	    baseline = ((int)height - ascent - descent) / 2 + ascent, x = 0;
	unsigned width = width_of(font, text);
	pixman_image_t *mask =
		pixman_image_create_bits(PIXMAN_a8, width ? (int)width : 1, (int)height, NULL, 0);

	if (!mask)
		return NULL;
	for (; *text; text++) {
		FT_GlyphSlot glyph = render(font, *text);

		if (!glyph)
			continue;
		copy_letter(&glyph->bitmap, x + glyph->bitmap_left, baseline - glyph->bitmap_top, mask);
		x += (int)(glyph->advance.x >> 6);
	}
	return mask;
}
