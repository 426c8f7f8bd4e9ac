/* Dead letters: original key, value and headers kept, reasons added, time clamped, attempts
 * counted. */
#include "daemon/stream/dead_letter.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/stream/memory_log.h"
#include "daemon/stream/memory_source.h"
#include "tests/support/feat.h"
#include "tests/support/stream_rig.h"

#define NOW INT64_C(1790000000000)

static struct fr_memory_log *log_;
static struct fr_source *src;
static struct rig_owner owner;
static struct fr_arena *ar;

/* One record with these headers, read back through a source. */
static void record(const struct fr_header *h, int n, int64_t ts, struct fr_record *out)
{
    struct fr_topic_names names = rig_names("");
    struct fr_source_callbacks cb = rig_callbacks(&owner);
    struct fr_memory_record rec = {.ts_ms = ts,
                                   .key = FR_STR_LIT("u\x01"),
                                   .value = FR_STR_LIT("{broken"),
                                   .headers = h,
                                   .n_headers = n};
    ck_assert_int_eq(fr_memory_log_new(&log_), FR_OK);
    ck_assert_int_eq(fr_memory_log_create_all(log_, &names, 1), FR_OK);
    ck_assert_int_eq(fr_memory_log_append(log_, "events", 0, &rec, NULL, NULL), FR_OK);
    struct fr_memory_source_opts o = {.log = log_, .names = &names, .group = "g", .n_lanes = 1};
    owner.with_requests = true;
    ck_assert_int_eq(fr_memory_source_new(&o, &cb, &owner.src, NULL), FR_OK);
    src = owner.src;
    ck_assert(rig_serve_until(&owner, 1, 1000));
    ck_assert_int_eq(fr_source_poll(src, 0, 1000, out), FR_OK);
    ar = feat_arena();
}

static void finish(struct fr_record *rec)
{
    fr_source_release(src, rec);
    fr_source_free(src);
    fr_memory_log_free(log_);
    fr_arena_free(ar);
}

static struct fr_str find(const struct fr_outgoing *m, const char *name)
{
    struct fr_str found = {NULL, 0};
    for (int i = 0; i < m->n_headers; i++)
        if (strcmp(m->headers[i].name, name) == 0) {
            ck_assert_ptr_null(found.p); /* never twice */
            found = m->headers[i].value;
        }
    ck_assert_msg(found.p != NULL, "no header %s", name);
    return found;
}

START_TEST(build__record_with_headers__kept_and_reasons_added)
{
    struct fr_header h[] = {{"trace", FR_STR_LIT("\xff\x00z")}, {"schema", FR_STR_LIT("s")}};
    struct fr_record rec;
    struct fr_outgoing m;
    record(h, 2, NOW - 5, &rec);
    struct fr_dead_letter_input in = {
        src, &rec, "events", "ingest", FR_ESYNTAX, "at byte 1", "grp", NOW};
    ck_assert_int_eq(fr_dead_letter_build(&in, ar, &m), FR_OK);
    ck_assert_int_eq(m.role, FR_TOPIC_DEAD_LETTERS);
    ck_assert(fr_str_eq(m.key, FR_STR_LIT("u\x01")));
    ck_assert(fr_str_eqz(m.value, "{broken"));
    ck_assert_int_eq(m.ts_ms, NOW - 5);
    ck_assert_int_eq(m.n_headers, 2 + FR_DEAD_LETTER_HEADERS);
    ck_assert_uint_eq(find(&m, "trace").n, 3);
    ck_assert(fr_str_eqz(find(&m, "freshet.errors.topic"), "events"));
    ck_assert(fr_str_eqz(find(&m, "freshet.errors.partition"), "0"));
    ck_assert(fr_str_eqz(find(&m, "freshet.errors.offset"), "0"));
    ck_assert(fr_str_eqz(find(&m, "freshet.errors.stage"), "ingest"));
    ck_assert(fr_str_eqz(find(&m, "freshet.errors.code"), "syntax"));
    ck_assert(fr_str_eqz(find(&m, "freshet.errors.message"), "at byte 1"));
    ck_assert(fr_str_eqz(find(&m, "freshet.errors.group"), "grp"));
    ck_assert(fr_str_eqz(find(&m, "freshet.errors.attempt"), "1"));
    finish(&rec);
}
END_TEST

/* time of the record -> time of the dead letter */
static const struct {
    int64_t in, out;
} TIMES[] = {{NOW - 1, NOW - 1},
             {NOW, NOW},
             {NOW + 1, NOW},
             {NOW + 7200000, NOW},
             {INT64_MAX, NOW},
             {0, NOW},
             {-1, NOW}};

START_TEST(build__any_time__never_later_than_now)
{
    struct fr_record rec = {.ts_ms = TIMES[_i].in, .value = {NULL, 0}};
    struct fr_outgoing m;
    struct fr_arena *a = feat_arena();
    struct fr_dead_letter_input in = {NULL, &rec, "events", "ingest", FR_EMISKEYED, NULL, "g", NOW};
    ck_assert_int_eq(fr_dead_letter_build(&in, a, &m), FR_OK);
    ck_assert_int_eq(m.ts_ms, TIMES[_i].out);
    ck_assert_ptr_null(m.value.p);
    ck_assert_ptr_null(m.key.p);
    ck_assert(fr_str_eqz(find(&m, "freshet.errors.code"), "mis_keyed"));
    fr_arena_free(a);
}
END_TEST

static const struct {
    const char *before, *after;
} ATTEMPTS[] = {{"1", "2"},
                {"41", "42"},
                {"-3", "1"},
                {"x", "1"},
                {"99999999999999999999", "1"},
                {"2000000", "1"}};

START_TEST(build__record_that_was_one_before__reasons_replaced_attempts_counted)
{
    struct fr_header h[] = {{"freshet.errors.code", FR_STR_LIT("old")},
                            {"freshet.errors.attempt", fr_str_z(ATTEMPTS[_i].before)},
                            {"mine", FR_STR_LIT("1")}};
    struct fr_record rec;
    struct fr_outgoing m;
    record(h, 3, NOW, &rec);
    struct fr_dead_letter_input in = {src, &rec, "events", "ingest", FR_ESCHEMA, "x", "g", NOW};
    ck_assert_int_eq(fr_dead_letter_build(&in, ar, &m), FR_OK);
    ck_assert_int_eq(m.n_headers, 1 + FR_DEAD_LETTER_HEADERS);
    ck_assert(fr_str_eqz(find(&m, "freshet.errors.attempt"), ATTEMPTS[_i].after));
    ck_assert(fr_str_eqz(find(&m, "freshet.errors.code"), "schema"));
    finish(&rec);
}
END_TEST

START_TEST(build__many_headers__all_kept_up_to_the_limit)
{
    static char names[200][8];
    static struct fr_header h[200];
    struct fr_record rec;
    struct fr_outgoing m;
    for (int i = 0; i < 200; i++) {
        snprintf(names[i], sizeof names[i], "h%d", i);
        h[i] = (struct fr_header){names[i], FR_STR_LIT("v")};
    }
    record(h, 200, NOW, &rec);
    struct fr_dead_letter_input in = {src, &rec, "events", "ingest", FR_ESCHEMA, "x", "g", NOW};
    ck_assert_int_eq(fr_dead_letter_build(&in, ar, &m), FR_OK);
    ck_assert_int_eq(m.n_headers, FR_DEAD_LETTER_MAX_HEADERS);
    for (int i = 0; i < FR_DEAD_LETTER_MAX_HEADERS - FR_DEAD_LETTER_HEADERS; i++)
        ck_assert_str_eq(m.headers[i].name, names[i]);
    finish(&rec);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream/dead_letter");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, build__record_with_headers__kept_and_reasons_added);
    tcase_add_loop_test(
        tc, build__any_time__never_later_than_now, 0, sizeof TIMES / sizeof TIMES[0]);
    tcase_add_loop_test(tc,
                        build__record_that_was_one_before__reasons_replaced_attempts_counted,
                        0,
                        sizeof ATTEMPTS / sizeof ATTEMPTS[0]);
    tcase_add_test(tc, build__many_headers__all_kept_up_to_the_limit);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
