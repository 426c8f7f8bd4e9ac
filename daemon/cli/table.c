/*
 * daemon/cli/table.c - cells in one buffer, widths as they come.
 */
#include "daemon/cli/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "daemon/cli/label.h"

#define GAP 2
#define CELL 128 /* of a formatted cell */

void fr_table_cell(struct fr_table *t, struct fr_str text, size_t columns)
{
    size_t from = t->text.n, width;

    fr_label_clean(&t->text, text, columns == 0 ? SIZE_MAX : columns);
    width = fr_label_columns((struct fr_str){t->text.p + from, t->text.n - from});
    fr_buf_putc(&t->text, '\0');
    if (width > t->width[t->n % t->columns])
        t->width[t->n % t->columns] = width;
    t->n++;
}

void fr_table_printf(struct fr_table *t, const char *fmt, ...)
{
    char text[CELL];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fr_table_cell(t, fr_str_z(text), 0);
}

static void spaces(FILE *out, size_t n)
{
    while (n-- > 0)
        fputc(' ', out);
}

enum fr_err fr_table_print(const struct fr_table *t, unsigned left, FILE *out)
{
    const char *p = t->text.p;
    enum fr_err e = fr_buf_err(&t->text);

    for (int i = 0; e == FR_OK && i < t->n; i++, p += strlen(p) + 1) {
        int c = i % t->columns;
        bool to_left = (left & 1u << c) != 0;
        size_t room = t->width[c] - fr_label_columns(fr_str_z(p));

        if (c > 0)
            spaces(out, GAP);
        if (!to_left)
            spaces(out, room);
        fputs(p, out);
        if (c == t->columns - 1)
            fputc('\n', out);
        else if (to_left)
            spaces(out, room);
    }
    return e == FR_OK && ferror(out) != 0 ? FR_EIO : e;
}

void fr_table_done(struct fr_table *t)
{
    fr_buf_done(&t->text);
}
