/*
 * tests/fuzz/fuzz_request.c - the value of a record of the topic `requests`, hostile.
 *
 * The key is the first line of the input (up to the first newline), the value the rest. What is
 * taken must keep the promises of features/: ids of 1..128 bytes, finite numbers, limits; what is
 * refused must say where.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/stream/request_codec.h"
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
    struct fr_request rq;
    struct fr_codec_error ce = {FR_OK, 0, NULL, NULL};
    const char *p = (const char *)data, *end = size == 0 ? NULL : memchr(p, '\n', size);
    size_t n = end == NULL ? 0 : (size_t)(end - p);
    struct fr_str value =
        end == NULL ? (struct fr_str){p, size} : (struct fr_str){p + n + 1, size - n - 1};
    start();
    enum fr_err e =
        fr_request_decode(spec, ar, (struct fr_str){p, n}, value, 1790000000000, &rq, &ce);
    if (e == FR_OK) {
        check_id(rq.request_id);
        check_id(rq.user_id);
        check(rq.n <= FR_REQUEST_MAX_N && rq.ts >= 0 && (rq.rank_only || rq.n_candidates == 0));
        check(rq.n_candidates <= FR_MAX_REQUEST_ITEMS && rq.n_exclude <= FR_MAX_REQUEST_ITEMS);
        for (uint32_t i = 0; i < rq.n_candidates; i++)
            check_id(rq.candidates[i].item_id);
        for (uint32_t i = 0; i < rq.n_exclude; i++)
            check_id(rq.exclude[i].item_id);
    } else {
        check(ce.err == e && ce.what != NULL && ce.offset <= value.n);
    }
    fr_arena_reset(ar);
    return 0;
}
