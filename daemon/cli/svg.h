/*
 * daemon/cli/svg.h - a picture as SVG: a handful of shapes, nothing loaded from elsewhere.
 *
 * Colours are inks by role: each shape carries its light colour as an attribute, and a class that a
 * style sheet inside the picture recolours where the viewer asks for dark. The background is always
 * painted, so the picture is readable on any page. Text is not trusted: what XML may not hold
 * becomes U+FFFD. A shape with a coordinate that is not finite is left out.
 * Layer: daemon/cli, pure. Thread: any; the buffer's owner.
 */
#ifndef FR_CLI_SVG_H
#define FR_CLI_SVG_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/buf.h"

enum fr_svg_ink {
    FR_SVG_PAPER,  /* the background */
    FR_SVG_GRID,
    FR_SVG_FRAME,  /* axes, leaders */
    FR_SVG_TEXT,
    FR_SVG_MUTED,  /* text of less weight */
    FR_SVG_MAIN,   /* the data */
    FR_SVG_SECOND,
    FR_SVG_ACCENT, /* the best */
    FR_SVG_INKS
};

enum fr_svg_anchor { FR_SVG_START, FR_SVG_MIDDLE, FR_SVG_END };

/** How a line is drawn. */
enum fr_svg_dash { FR_SVG_SOLID, FR_SVG_DASHED };

/** Begin a picture of width x height, its background painted. @param title  untrusted, what a reader
 *  for the blind says */
void fr_svg_begin(struct fr_buf *b, int width, int height, struct fr_str title);
void fr_svg_end(struct fr_buf *b);

void fr_svg_line(struct fr_buf *b,
                 double x1,
                 double y1,
                 double x2,
                 double y2,
                 double width,
                 enum fr_svg_ink ink,
                 enum fr_svg_dash dash);
/** A line through n points (x0, y0, x1, y1, ...); one that is not finite is a gap. */
void fr_svg_path(struct fr_buf *b,
                 const double *xy,
                 size_t n,
                 double width,
                 enum fr_svg_ink ink,
                 enum fr_svg_dash dash);
/** A disc, or with `hollow` a ring over the background. */
void fr_svg_dot(struct fr_buf *b, double x, double y, double r, enum fr_svg_ink ink, bool hollow);
/** Text by its baseline. @param bold  of more weight. @param text  untrusted */
void fr_svg_text(struct fr_buf *b,
                 double x,
                 double y,
                 int size,
                 bool bold,
                 enum fr_svg_anchor anchor,
                 enum fr_svg_ink ink,
                 struct fr_str text);

/** Append text as XML character data, also right in a quoted attribute. */
void fr_svg_escape(struct fr_buf *b, struct fr_str text);
/** About as wide as the text will be (fonts differ), in units of the picture. */
double fr_svg_text_width(struct fr_str text, int size);

#endif
