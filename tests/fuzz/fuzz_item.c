/*
 * tests/fuzz/fuzz_item.c - the value of a record of the topic `items`, hostile.
 *
 * The key is the first line of the input (up to the first newline), the value the rest. What is
 * taken must keep the promises of features/: ids of 1..128 bytes, finite numbers, limits; what is
 * refused must say where.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/stream/item_codec.h"
#include "features/event.h"
#include "features/spec_default.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fr_spec *spec;
static struct fr_arena *ar;

static void start(void)
{
    struct fr_spec_input in;
    fr_spec_input_default(&in);
    if (spec == NULL &&
        (fr_spec_compile(&in, &spec, NULL) != FR_OK || fr_arena_new(65536, 0, &ar) != FR_OK))
        abort();
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_id(struct fr_str s)
{
    check(s.n >= 1 && s.n <= FR_ID_MAX && fr_utf8_valid(s) && memchr(s.p, '\0', s.n) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_item_record it;
    struct fr_codec_error ce = {FR_OK, 0, NULL, NULL};
    const char *p = (const char *)data, *end = size == 0 ? NULL : memchr(p, '\n', size);
    size_t n = end == NULL ? size : (size_t)(end - p);
    struct fr_str value =
        end == NULL ? (struct fr_str){NULL, 0} : (struct fr_str){p + n + 1, size - n - 1};
    start();
    enum fr_err e = fr_item_decode(spec, ar, (struct fr_str){p, n}, value, &it, &ce);
    if (e == FR_OK) {
        check_id(it.item_id);
        check(it.item != 0 && it.deleted == (value.p == NULL));
        check(fr_utf8_valid(it.title) && it.title.n <= FR_TITLE_MAX);
        check(it.n_categories <= FR_MAX_CATEGORIES && it.n_tags <= FR_MAX_TAGS &&
              it.n_vector <= FR_MAX_VECTOR);
        for (uint32_t i = 0; i < it.n_categories; i++)
            check_id(it.categories[i]);
        for (uint32_t i = 0; i < it.n_tags; i++)
            check_id(it.tags[i]);
        for (uint32_t i = 0; i < it.n_vector; i++)
            check(isfinite(it.vector[i]));
        check(isfinite(it.price) && it.price >= 0);
    } else {
        check(ce.err == e && ce.what != NULL && ce.offset <= value.n);
    }
    fr_arena_reset(ar);
    return 0;
}
