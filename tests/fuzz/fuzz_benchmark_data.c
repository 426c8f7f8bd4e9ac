/*
 * tests/fuzz/fuzz_benchmark_data.c - the benchmark layouts, hostile. The first byte chooses the layout.
 * What was read must lie within what it says of itself.
 */
#include <stdint.h>
#include <stdlib.h>

#include "daemon/learn/benchmark_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rows(struct fr_str text)
{
    struct fr_benchmark_rows r = {.n = 0};

    if (fr_benchmark_read_rows(text, "fuzz", &r, NULL) == FR_OK && (r.n == 0 || r.columns == 0))
        abort();
    for (size_t i = 0; i < r.n; i++) {
        if (r.label[i] > 1)
            abort();
        for (uint32_t c = 0; c < r.columns; c++)
            if (r.id[i * r.columns + c] >= FR_BENCHMARK_MAX_ID)
                abort();
    }
    fr_benchmark_rows_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_benchmark_lists l = {.n = 0};
    struct fr_str text;
    enum fr_err e;

    if (size < 1)
        return 0;
    text = (struct fr_str){(const char *)data + 1, size - 1};
    if ((data[0] & 3) == 3) {
        check_rows(text);
        return 0;
    }
    e = (data[0] & 3) == 0   ? fr_benchmark_read_pairs(text, "fuzz", &l, NULL)
        : (data[0] & 3) == 1 ? fr_benchmark_read_negatives(text, "fuzz", &l, NULL)
                             : fr_benchmark_read_lists(text, "fuzz", &l, NULL);
    if (e == FR_OK && l.n == 0)
        abort();
    for (size_t i = 0; i < l.n; i++) {
        if (l.user[i] >= FR_BENCHMARK_MAX_ID || l.start[i] > l.start[i + 1])
            abort();
        for (size_t k = l.start[i]; k < l.start[i + 1]; k++)
            if (l.item[k] >= FR_BENCHMARK_MAX_ID)
                abort();
    }
    fr_benchmark_lists_done(&l);
    return 0;
}
