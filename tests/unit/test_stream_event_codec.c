/* The event decoder on tables: what is taken and how, what is refused with field and place. */
#include "daemon/stream/event_codec.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "tests/support/feat.h"

#define NOW INT64_C(1790000000000)

static struct fr_spec *spec;
static struct fr_arena *ar;

static void set_up(void)
{
    spec = feat_spec(NULL);
    ar = feat_arena();
}

static void tear_down(void)
{
    fr_arena_free(ar);
    fr_spec_free(spec);
}

static enum fr_err
decode(const char *key, struct fr_str value, struct fr_event *ev, struct fr_codec_error *ce)
{
    memset(ce, 0, sizeof *ce);
    return fr_event_decode(
        spec, ar, key == NULL ? (struct fr_str){NULL, 0} : fr_str_z(key), value, NOW, ev, ce);
}

START_TEST(decode__every_field__all_there)
{
    static const char json[] = "{\"event_id\":\"e1\",\"type\":\"click\",\"user_id\":\"u42\",\"item_"
                               "id\":\"i7\",\"ts\":1789999999123,"
                               "\"value\":-2.5,\"session_id\":\"s\",\"context\":{\"device\":"
                               "\"phone\",\"x\":[1]},\"rec_id\":\"00ff\","
                               "\"position\":3,\"unknown\":{\"a\":[]}}";
    struct fr_event ev;
    struct fr_codec_error ce;
    ck_assert_int_eq(decode("u42", fr_str_z(json), &ev, &ce), FR_OK);
    ck_assert(fr_str_eqz(ev.event_id, "e1"));
    ck_assert(fr_str_eqz(ev.user_id, "u42"));
    ck_assert(fr_str_eqz(ev.item_id, "i7"));
    ck_assert(fr_str_eqz(ev.session_id, "s"));
    ck_assert(fr_str_eqz(ev.rec_id, "00ff"));
    ck_assert(fr_str_eqz(ev.device, "phone"));
    ck_assert_int_eq(ev.type, fr_spec_type(spec, FR_STR_LIT("click")));
    ck_assert_int_eq(ev.ts, 1789999999123);
    ck_assert(ev.has_value);
    ck_assert(ev.value == -2.5);
    ck_assert_int_eq(ev.position, 3);
    ck_assert_uint_eq(ev.user, fr_id_hash(spec->key, FR_STR_LIT("u42")));
    ck_assert_uint_eq(ev.item, fr_id_hash(spec->key, FR_STR_LIT("i7")));
    ck_assert_uint_ne(ev.event_key, 0);
}
END_TEST

START_TEST(decode__least_and_nulls__defaults)
{
    static const char *const json[] = {
        "{\"event_id\":1,\"type\":\"view\",\"user_id\":42,\"item_id\":-7}",
        " {\"item_id\":-7,\"user_id\":42,\"type\":\"view\",\"event_id\":1,\"ts\":null,\"value\":"
        "null,"
        "\"session_id\":null,\"context\":null,\"rec_id\":null,\"position\":null}\n",
    };
    for (int i = 0; i < 2; i++) {
        struct fr_event ev;
        struct fr_codec_error ce;
        ck_assert_int_eq(decode("42", fr_str_z(json[i]), &ev, &ce), FR_OK);
        ck_assert(fr_str_eqz(ev.event_id, "1"));
        ck_assert(fr_str_eqz(ev.user_id, "42"));
        ck_assert(fr_str_eqz(ev.item_id, "-7"));
        ck_assert_int_eq(ev.ts, NOW);
        ck_assert(!ev.has_value);
        ck_assert_int_eq(ev.position, -1);
        ck_assert_uint_eq(ev.session_id.n + ev.rec_id.n + ev.device.n, 0);
    }
}
END_TEST

START_TEST(decode__impressions__list_with_positions)
{
    static const char json[] =
        "{\"event_id\":\"e\",\"type\":\"impressions\",\"user_id\":\"u\",\"rec_id\":\"r\","
        "\"items\":[{\"item_id\":\"a\",\"position\":0},{\"item_id\":9}]}";
    struct fr_event ev;
    struct fr_codec_error ce;
    ck_assert_int_eq(decode("u", fr_str_z(json), &ev, &ce), FR_OK);
    ck_assert_uint_eq(ev.n_impressions, 2);
    ck_assert(fr_str_eqz(ev.impressions[0].item_id, "a"));
    ck_assert_int_eq(ev.impressions[0].position, 0);
    ck_assert(fr_str_eqz(ev.impressions[1].item_id, "9"));
    ck_assert_int_eq(ev.impressions[1].position, -1);
    ck_assert_uint_eq(ev.impressions[1].item, fr_id_hash(spec->key, FR_STR_LIT("9")));
    ck_assert_uint_eq(ev.item, 0);
}
END_TEST

#define HEAD "{\"event_id\":\"e\",\"type\":\"click\",\"user_id\":\"u\","

static const struct {
    const char *json;
    enum fr_err err;
    const char *field; /* NULL: the value as a whole */
    int offset;        /* -1: not looked at */
} BAD[] = {
    {"", FR_ESYNTAX, NULL, 0},
    {"[]", FR_ESCHEMA, NULL, 0},
    {"\"x\"", FR_ESCHEMA, NULL, 0},
    {HEAD "\"item_id\":\"i\"", FR_ESYNTAX, NULL, -1},
    {HEAD "\"item_id\":\"i\"}}", FR_ESYNTAX, NULL, -1},
    {HEAD "\"item_id\":\"i\",\"user_id\":\"v\"}", FR_EDUPLICATE, NULL, -1},
    {HEAD "\"item_id\":\"\xff\"}", FR_EUTF8, NULL, -1},
    {HEAD "\"item_id\":\"\\ud800\"}", FR_EUTF8, NULL, -1},
    {HEAD "\"item_id\":\"i\",\"value\":1e999}", FR_ERANGE, NULL, -1},
    {HEAD "\"item_id\":\"i\",\"value\":NaN}", FR_ESYNTAX, NULL, -1},
    {HEAD "\"item_id\":\"i\",\"value\":\"3\"}", FR_ESCHEMA, "value", -1},
    {HEAD "\"item_id\":\"i\",\"ts\":1.5}", FR_ESCHEMA, "ts", -1},
    {HEAD "\"item_id\":\"i\",\"ts\":\"now\"}", FR_ESCHEMA, "ts", -1},
    {HEAD "\"item_id\":\"i\",\"ts\":-1}", FR_ERANGE, "ts", -1},
    {HEAD "\"item_id\":\"i\",\"ts\":9007199254740993}", FR_ERANGE, "ts", -1},
    {HEAD "\"item_id\":\"i\",\"ts\":99999999999999999999}", FR_ESCHEMA, "ts", -1},
    {HEAD "\"item_id\":\"i\",\"ts\":1890000000000}", FR_EFUTURE, "ts", -1},
    {HEAD "\"item_id\":\"i\",\"position\":-1}", FR_ERANGE, "position", -1},
    {HEAD "\"item_id\":\"i\",\"position\":1e3}", FR_ESCHEMA, "position", -1},
    {HEAD "\"item_id\":\"i\",\"context\":[]}", FR_ESCHEMA, "context", -1},
    {HEAD "\"item_id\":\"i\",\"context\":{\"device\":{}}}", FR_ESCHEMA, "device", -1},
    {HEAD "\"item_id\":\"\"}", FR_ESCHEMA, "item_id", -1},
    {HEAD "\"item_id\":null}", FR_ESCHEMA, "item_id", -1},
    {HEAD "\"item_id\":true}", FR_ESCHEMA, "item_id", -1},
    {HEAD "\"item_id\":1.5}", FR_ESCHEMA, "item_id", -1},
    {HEAD "\"item_id\":\"a\\u0000b\"}", FR_ESCHEMA, "item_id", -1},
    {HEAD "\"item_id\":\"a\\nb\"}", FR_ESCHEMA, "item_id", -1},
    {HEAD "\"x\":1}", FR_ESCHEMA, "item_id", 0},
    {"{\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"i\"}", FR_ESCHEMA, "event_id", 0},
    {"{\"event_id\":\"e\",\"user_id\":\"u\",\"item_id\":\"i\"}", FR_ESCHEMA, "type", 0},
    {"{\"event_id\":\"e\",\"type\":\"click\",\"item_id\":\"i\"}", FR_ESCHEMA, "user_id", 0},
    {"{\"event_id\":\"e\",\"type\":\"teleport\",\"user_id\":\"u\",\"item_id\":\"i\"}",
     FR_ESCHEMA,
     "type",
     23},
    {"{\"event_id\":\"e\",\"type\":3,\"user_id\":\"u\",\"item_id\":\"i\"}", FR_ESCHEMA, "type", 23},
    {"{\"event_id\":\"e\",\"type\":\"click\",\"user_id\":\"v\",\"item_id\":\"i\"}",
     FR_ESCHEMA,
     "key",
     -1},
    {"{\"event_id\":\"e\",\"type\":\"impressions\",\"user_id\":\"u\"}", FR_ESCHEMA, "items", -1},
    {"{\"event_id\":\"e\",\"type\":\"impressions\",\"user_id\":\"u\",\"items\":[]}",
     FR_ESCHEMA,
     "items",
     -1},
    {"{\"event_id\":\"e\",\"type\":\"impressions\",\"user_id\":\"u\",\"items\":[1]}",
     FR_ESCHEMA,
     "items",
     -1},
    {"{\"event_id\":\"e\",\"type\":\"impressions\",\"user_id\":\"u\",\"items\":[{}]}",
     FR_ESCHEMA,
     "item_id",
     -1},
};

START_TEST(decode__bad__refused_with_field_and_place)
{
    struct fr_event ev, untouched;
    struct fr_codec_error ce;
    memset(&ev, 0x5a, sizeof ev);
    untouched = ev;
    ck_assert_int_eq(decode("u", fr_str_z(BAD[_i].json), &ev, &ce), BAD[_i].err);
    ck_assert_int_eq(ce.err, BAD[_i].err);
    ck_assert_ptr_nonnull(ce.what);
    if (BAD[_i].field == NULL)
        ck_assert_ptr_null(ce.field);
    else
        ck_assert_str_eq(ce.field, BAD[_i].field);
    ck_assert_uint_le(ce.offset, strlen(BAD[_i].json));
    if (BAD[_i].offset >= 0)
        ck_assert_uint_eq(ce.offset, (size_t)BAD[_i].offset);
    ck_assert_int_eq(memcmp(&ev, &untouched, sizeof ev), 0);
}
END_TEST

START_TEST(decode__no_key_null_value_and_sizes__refused)
{
    struct fr_event ev;
    struct fr_codec_error ce;
    const char *good = HEAD "\"item_id\":\"i\"}";
    ck_assert_int_eq(decode(NULL, fr_str_z(good), &ev, &ce), FR_ESCHEMA);
    ck_assert_int_eq(decode("u", (struct fr_str){NULL, 0}, &ev, &ce), FR_ESCHEMA);
    /* ids: 128 bytes fit, 129 don't; the whole value: 65,536 bytes fit, one more doesn't */
    char id[130], json[400];
    for (size_t n = 128; n <= 129; n++) {
        memset(id, 'x', n);
        id[n] = '\0';
        snprintf(json, sizeof json, HEAD "\"item_id\":\"%s\"}", id);
        ck_assert_int_eq(decode("u", fr_str_z(json), &ev, &ce), n == 128 ? FR_OK : FR_ESCHEMA);
    }
    char *big = fr_calloc(FR_CODEC_MAX_BYTES + 1, 1);
    ck_assert_ptr_nonnull(big);
    memset(big, ' ', FR_CODEC_MAX_BYTES + 1);
    memcpy(big, good, strlen(good));
    ck_assert_int_eq(decode("u", (struct fr_str){big, FR_CODEC_MAX_BYTES}, &ev, &ce), FR_OK);
    ck_assert_int_eq(decode("u", (struct fr_str){big, FR_CODEC_MAX_BYTES + 1}, &ev, &ce),
                     FR_ETOOLARGE);
    fr_free(big);
}
END_TEST

START_TEST(decode__max_future__counted_from_the_records_time)
{
    struct fr_event ev;
    struct fr_codec_error ce;
    char json[200];
    for (int over = 0; over < 2; over++) {
        snprintf(json,
                 sizeof json,
                 HEAD "\"item_id\":\"i\",\"ts\":%lld}",
                 (long long)(NOW + spec->max_future_ms + over));
        ck_assert_int_eq(decode("u", fr_str_z(json), &ev, &ce), over ? FR_EFUTURE : FR_OK);
    }
}
END_TEST

START_TEST(decode__every_truncation__refused_cleanly)
{
    static const char json[] =
        HEAD "\"item_id\":\"i\\u00e9\",\"ts\":1789999999123,\"context\":{\"device\":\"x\"}}";
    for (size_t n = 0; n < sizeof json - 1; n++) {
        struct fr_event ev;
        struct fr_codec_error ce;
        char *copy = fr_memdup0(json, n); /* exact size: ASan sees a read past the end */
        ck_assert_ptr_nonnull(copy);
        ck_assert_int_ne(decode("u", (struct fr_str){copy, n}, &ev, &ce), FR_OK);
        ck_assert_uint_le(ce.offset, n);
        fr_free(copy);
        fr_arena_reset(ar);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream/event_codec");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, decode__every_field__all_there);
    tcase_add_test(tc, decode__least_and_nulls__defaults);
    tcase_add_test(tc, decode__impressions__list_with_positions);
    tcase_add_loop_test(
        tc, decode__bad__refused_with_field_and_place, 0, sizeof BAD / sizeof BAD[0]);
    tcase_add_test(tc, decode__no_key_null_value_and_sizes__refused);
    tcase_add_test(tc, decode__max_future__counted_from_the_records_time);
    tcase_add_test(tc, decode__every_truncation__refused_cleanly);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
