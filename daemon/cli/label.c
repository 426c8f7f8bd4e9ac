/*
 * daemon/cli/label.c - characters one by one.
 */
#include "daemon/cli/label.h"

#include <stdbool.h>

#include "daemon/base/json.h"

#define ELLIPSIS 0x2026u

/* Never to be shown: controls, line separators, marks that change the direction, no characters. */
static bool hidden(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
           (c & 0xFFFE) == 0xFFFE;
}

uint32_t fr_label_next(struct fr_str s, size_t *at)
{
    static const unsigned char first[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    const unsigned char *p = (const unsigned char *)s.p + *at;
    size_t n = fr_utf8_len((struct fr_str){s.p + *at, s.n - *at});
    uint32_t c;

    if (n == 0) {
        *at += 1;
        return FR_LABEL_BAD;
    }
    c = p[0] & first[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3Fu);
    *at += n;
    return hidden(c) ? FR_LABEL_BAD : c;
}

static size_t columns_of(uint32_t c)
{
    return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) ||
                   (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
                   (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
                   (c >= 0x1F300 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x3FFFD)
               ? 2
               : 1;
}

size_t fr_label_columns(struct fr_str s)
{
    size_t n = 0;

    for (size_t at = 0; at < s.n;)
        n += columns_of(fr_label_next(s, &at));
    return n;
}

void fr_label_put(struct fr_buf *b, uint32_t c)
{
    if (c < 0x80) {
        fr_buf_putc(b, (char)c);
        return;
    }
    if (c >= 0x10000) {
        fr_buf_putc(b, (char)(0xF0 | c >> 18));
        fr_buf_putc(b, (char)(0x80 | (c >> 12 & 0x3F)));
    } else if (c >= 0x800) {
        fr_buf_putc(b, (char)(0xE0 | c >> 12));
    } else {
        fr_buf_putc(b, (char)(0xC0 | c >> 6));
    }
    if (c >= 0x800)
        fr_buf_putc(b, (char)(0x80 | (c >> 6 & 0x3F)));
    fr_buf_putc(b, (char)(0x80 | (c & 0x3F)));
}

void fr_label_clean(struct fr_buf *b, struct fr_str s, size_t columns)
{
    size_t all = fr_label_columns(s), before = 0, head, tail;
    bool cut = all > columns, marked = false;

    head = columns == 0 ? 0 : (columns - 1) / 2; /* columns kept at either end */
    tail = columns == 0 ? 0 : columns - 1 - head;
    for (size_t at = 0; at < s.n;) {
        uint32_t c = fr_label_next(s, &at);
        size_t after = before + columns_of(c);

        if (!cut || after <= head || before >= all - tail) {
            fr_label_put(b, c);
        } else if (!marked && columns > 0) {
            fr_label_put(b, ELLIPSIS);
            marked = true;
        }
        before = after;
    }
}
