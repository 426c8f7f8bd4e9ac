/*
 * tests/fuzz/fuzz_delimited.c - delimited texts, hostile. The first byte chooses quoting and separator.
 * Fields must lie in the text or in the reader's own buffer, and reading must come to an end.
 */
#include <stdint.h>
#include <stdlib.h>

#include "daemon/cli/delimited.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const separators[] = {",", "\t", "::", "|", "\"", "\n", "aa", " "};
    struct fr_delimited d;
    struct fr_str text;
    enum fr_err e = FR_OK;
    size_t left;

    if (size < 1)
        return 0;
    text = (struct fr_str){(const char *)data + 1, size - 1};
    fr_delimited_init(&d, text, fr_str_z(separators[data[0] >> 1 & 7]), (data[0] & 1) != 0);
    left = text.n;
    for (;;) {
        unsigned sum = 0;
        e = fr_delimited_next(&d);
        if (e == FR_ENOTFOUND)
            break;
        if (e != FR_OK && e != FR_ESYNTAX && e != FR_ETOOLARGE)
            abort();
        if (d.rest.n >= left && left > 0)
            abort(); /* no progress */
        left = d.rest.n;
        for (int i = 0; e == FR_OK && i < d.n_fields; i++)
            for (size_t k = 0; k < d.field[i].n; k++)
                sum += (unsigned char)d.field[i].p[k];
        if (sum == UINT32_MAX)
            abort();
    }
    fr_delimited_done(&d);
    return 0;
}
