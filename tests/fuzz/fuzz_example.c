/*
 * tests/fuzz/fuzz_example.c - a value of the topic `examples`, hostile: what is taken has finite cells and ids of the
 * promised lengths, what is refused says why.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "daemon/stream/example_codec.h"
#include "features/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fr_field_set fs;
static struct fr_arena *ar;

static void start(void)
{
    if (fs.n > 0)
        return;
    fs.hash = 255;
    if (fr_field_add(&fs, "hist", FR_ENTITY_USER, FR_FIELD_ID, "item", 0, 2) != FR_OK ||
        fr_field_add(&fs, "age", FR_ENTITY_USER, FR_FIELD_NUMERIC, "", 0, 1) != FR_OK ||
        fr_field_add(&fs, "hour", FR_ENTITY_CONTEXT, FR_FIELD_BUCKET, "", 25, 1) != FR_OK ||
        fr_field_add(&fs, "id", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1) != FR_OK ||
        fr_field_add(&fs, "rate", FR_ENTITY_CROSS, FR_FIELD_NUMERIC, "", 0, 3) != FR_OK ||
        fr_arena_new(1 << 16, (size_t)64 << 20, &ar) != FR_OK)
        abort();
}

static void finite(const struct fr_cell *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(c[i].x))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_example_rows x;
    struct fr_fault fault = {.err = FR_OK};

    start();
    enum fr_err e = fr_example_decode(&fs, ar, (struct fr_str){(const char *)data, size}, &x, &fault);
    if (e == FR_OK) {
        if (x.n < 1 || x.n > FR_MAX_RECOMMENDED || x.user_id.n < 1 || x.user_id.n > FR_ID_MAX)
            abort();
        finite(x.user, fs.n_cells[FR_ENTITY_USER]);
        finite(x.context, fs.n_cells[FR_ENTITY_CONTEXT]);
        finite(x.items, (size_t)x.n * fs.n_cells[FR_ENTITY_ITEM]);
        finite(x.cross, (size_t)x.n * fs.n_cells[FR_ENTITY_CROSS]);
    } else if (fault.err != e || fault.msg[0] == '\0') {
        abort();
    }
    fr_arena_reset(ar);
    return 0;
}
