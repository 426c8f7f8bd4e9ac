/*
 * daemon/cli/svg.c - shapes to text.
 */
#include "daemon/cli/svg.h"

#include <math.h>
#include <stdint.h>

#include "daemon/cli/label.h"

#define WIDE 0x1100u /* characters from here on are about square */

/* light, dark; both sets are told apart by people who do not see red or green, and print grey */
static const struct {
    const char *light, *dark;
} ink[FR_SVG_INKS] = {
    [FR_SVG_PAPER] = {"#ffffff", "#16191d"},  [FR_SVG_GRID] = {"#e4e7eb", "#2c323a"},
    [FR_SVG_FRAME] = {"#9aa3ad", "#6b7683"},  [FR_SVG_TEXT] = {"#1f2329", "#e6e9ed"},
    [FR_SVG_MUTED] = {"#5b6570", "#a3adb8"},  [FR_SVG_MAIN] = {"#2166ac", "#6cb2f0"},
    [FR_SVG_SECOND] = {"#8a8f98", "#8f99a5"}, [FR_SVG_ACCENT] = {"#c2410c", "#ff9d5c"},
};

void fr_svg_escape(struct fr_buf *b, struct fr_str text)
{
    for (size_t at = 0; at < text.n;) {
        uint32_t c = fr_label_next(text, &at);

        switch (c) {
        case '&': fr_buf_puts(b, "&amp;"); break;
        case '<': fr_buf_puts(b, "&lt;"); break;
        case '>': fr_buf_puts(b, "&gt;"); break;
        case '"': fr_buf_puts(b, "&quot;"); break;
        case '\'': fr_buf_puts(b, "&#39;"); break;
        default: fr_label_put(b, c);
        }
    }
}

double fr_svg_text_width(struct fr_str text, int size)
{
    double w = 0;

    for (size_t at = 0; at < text.n;)
        w += fr_label_next(text, &at) >= WIDE ? 1.0 : 0.6;
    return w * size;
}

void fr_svg_begin(struct fr_buf *b, int width, int height, struct fr_str title)
{
    fr_buf_printf(b,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                  "viewBox=\"0 0 %d %d\" role=\"img\" "
                  "font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\">\n<title>",
                  width,
                  height,
                  width,
                  height);
    fr_svg_escape(b, title);
    fr_buf_puts(b, "</title>\n<style>@media (prefers-color-scheme: dark) {");
    for (int i = 0; i < FR_SVG_INKS; i++)
        fr_buf_printf(b, " .f%d {fill: %s} .s%d {stroke: %s}", i, ink[i].dark, i, ink[i].dark);
    fr_buf_printf(b,
                  "}</style>\n<rect class=\"f%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n",
                  FR_SVG_PAPER,
                  width,
                  height,
                  ink[FR_SVG_PAPER].light);
}

void fr_svg_end(struct fr_buf *b)
{
    fr_buf_puts(b, "</svg>\n");
}

static void put_stroke(struct fr_buf *b, double width, enum fr_svg_ink i, enum fr_svg_dash dash)
{
    fr_buf_printf(b,
                  " class=\"s%d\" stroke=\"%s\" stroke-width=\"%.2f\"%s/>\n",
                  i,
                  ink[i].light,
                  width,
                  dash == FR_SVG_DASHED ? " stroke-dasharray=\"4 3\"" : "");
}

void fr_svg_line(struct fr_buf *b,
                 double x1,
                 double y1,
                 double x2,
                 double y2,
                 double width,
                 enum fr_svg_ink i,
                 enum fr_svg_dash dash)
{
    if (!isfinite(x1) || !isfinite(y1) || !isfinite(x2) || !isfinite(y2))
        return;
    fr_buf_printf(b, "<line x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\"", x1, y1, x2, y2);
    put_stroke(b, width, i, dash);
}

void fr_svg_path(struct fr_buf *b,
                 const double *xy,
                 size_t n,
                 double width,
                 enum fr_svg_ink i,
                 enum fr_svg_dash dash)
{
    bool pen = false, any = false;

    for (size_t k = 0; k < n; k++) {
        double x = xy[2 * k], y = xy[2 * k + 1];

        if (!isfinite(x) || !isfinite(y)) {
            pen = false;
            continue;
        }
        fr_buf_printf(b, "%s%c%.2f %.2f", any ? " " : "<path d=\"", pen ? 'L' : 'M', x, y);
        pen = any = true;
    }
    if (!any)
        return;
    fr_buf_puts(b, "\" fill=\"none\" stroke-linejoin=\"round\"");
    put_stroke(b, width, i, dash);
}

void fr_svg_dot(struct fr_buf *b, double x, double y, double r, enum fr_svg_ink i, bool hollow)
{
    enum fr_svg_ink inside = hollow ? FR_SVG_PAPER : i;

    if (!isfinite(x) || !isfinite(y) || !isfinite(r))
        return;
    fr_buf_printf(b,
                  "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"%.2f\" class=\"f%d s%d\" fill=\"%s\" "
                  "stroke=\"%s\" stroke-width=\"1.80\"/>\n",
                  x,
                  y,
                  r,
                  inside,
                  i,
                  ink[inside].light,
                  ink[i].light);
}

void fr_svg_text(struct fr_buf *b,
                 double x,
                 double y,
                 int size,
                 bool bold,
                 enum fr_svg_anchor anchor,
                 enum fr_svg_ink i,
                 struct fr_str text)
{
    static const char *const anchors[] = {
        "", " text-anchor=\"middle\"", " text-anchor=\"end\""};

    if (!isfinite(x) || !isfinite(y))
        return;
    fr_buf_printf(b,
                  "<text x=\"%.2f\" y=\"%.2f\" font-size=\"%d\"%s%s class=\"f%d\" fill=\"%s\">",
                  x,
                  y,
                  size,
                  bold ? " font-weight=\"600\"" : "",
                  anchors[anchor],
                  i,
                  ink[i].light);
    fr_svg_escape(b, text);
    fr_buf_puts(b, "</text>\n");
}
