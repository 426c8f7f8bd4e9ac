/*
 * tests/fuzz/fuzz_user_record.c - stored records as hostile bytes: user, seen set, item row.
 *
 * The first byte chooses the decoder. What is taken must encode to a record that decodes to the same
 * bytes again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/arena.h"
#include "daemon/base/buf.h"
#include "features/item_codec.h"
#include "features/seen.h"
#include "features/spec.h"
#include "features/user_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fr_spec *spec;
static struct fr_arena *ar;

static void must(int ok)
{
    if (!ok)
        abort();
}

static void start(void)
{
    struct fr_spec_input in;
    fr_spec_input_default(&in);
    must(fr_spec_compile(&in, &spec, NULL) == FR_OK);
    must(fr_arena_new(64 * 1024, 0, &ar) == FR_OK);
}

static void same(const struct fr_buf *a, const struct fr_buf *b)
{
    must(a->err == FR_OK && b->err == FR_OK && a->n == b->n && memcmp(a->p, b->p, a->n) == 0);
}

static void user(struct fr_str in, struct fr_buf *a, struct fr_buf *b)
{
    struct fr_user *u, *v;
    struct fr_fault f = {0};
    if (fr_user_decode(spec, ar, in, &u, &f) != FR_OK) {
        must(f.err != FR_OK);
        return;
    }
    fr_user_encode(spec, u, a);
    must(fr_user_decode(spec, ar, fr_buf_str(a), &v, NULL) == FR_OK);
    fr_user_encode(spec, v, b);
    same(a, b);
    fr_buf_clear(b);
    fr_user_to_json(spec, u, FR_STR_LIT("u"), u->last_ts + 1000, b);
    must(b->err == FR_OK);
}

static void seen(struct fr_str in, struct fr_buf *a, struct fr_buf *b)
{
    struct fr_seen s, t;
    struct fr_seen_filter f;
    struct fr_str id;
    if (fr_seen_decode(&s, 100, in, NULL) != FR_OK)
        return;
    must(fr_seen_filter_build(&s, spec->key, ar, &f) == FR_OK);
    if (fr_seen_at(&s, 0, &id))
        must(fr_seen_has(&s, id));
    fr_seen_encode(&s, a);
    must(fr_seen_decode(&t, 100, fr_buf_str(a), NULL) == FR_OK);
    fr_seen_encode(&t, b);
    same(a, b);
}

static void item(struct fr_str in, struct fr_buf *a, struct fr_buf *b)
{
    double c[FR_MAX_EVENT_TYPES * FR_HALF_LIVES], d[FR_MAX_EVENT_TYPES * FR_HALF_LIVES];
    struct fr_item_row row, again;
    if (fr_item_row_decode(spec, in, &row, c, NULL) != FR_OK)
        return;
    fr_item_row_encode(spec, &row, c, a);
    must(fr_item_row_decode(spec, fr_buf_str(a), &again, d, NULL) == FR_OK);
    fr_item_row_encode(spec, &again, d, b);
    same(a, b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_buf a = {0}, b = {0};
    if (spec == NULL)
        start();
    if (size == 0)
        return 0;
    struct fr_str in = {(const char *)data + 1, size - 1};
    if (data[0] % 3 == 0)
        user(in, &a, &b);
    else if (data[0] % 3 == 1)
        seen(in, &a, &b);
    else
        item(in, &a, &b);
    fr_buf_done(&a);
    fr_buf_done(&b);
    fr_arena_reset(ar);
    return 0;
}
