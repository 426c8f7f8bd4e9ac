/*
 * tests/unit/test_config.c - the configuration: every type of value, units and ranges, the order of the
 * sources, messages that name the place, hostile YAML.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/config.h"

static struct fr_config c;
static struct fr_fault fault;

static void setup(void)
{
    memset(&fault, 0, sizeof(fault));
    ck_assert_int_eq(fr_config_init(&c, &fault), FR_OK);
}

static void teardown(void)
{
    fr_config_done(&c);
}

static enum fr_err load(const char *text)
{
    memset(&fault, 0, sizeof(fault));
    return fr_config_load_text(&c, "t.yaml", text, strlen(text), &fault);
}

/* Refused with this error, and a message that holds all of `words` (separated by '|'). */
static void refused(enum fr_err got, enum fr_err want, const char *text, const char *words)
{
    char copy[200], *save = NULL;

    ck_assert_msg(got == want, "'%s': %s, not %s (%s)", text, fr_err_name(got), fr_err_name(want), fault.msg);
    ck_assert_int_eq(fault.err, want);
    ck_assert_uint_lt(strlen(words), sizeof(copy));
    memcpy(copy, words, strlen(words) + 1);
    for (char *w = strtok_r(copy, "|", &save); w != NULL; w = strtok_r(NULL, "|", &save))
        ck_assert_msg(strstr(fault.msg, w) != NULL, "'%s': no '%s' in '%s'", text, w, fault.msg);
}

static void set_ok(const char *assignment)
{
    enum fr_err e = fr_config_set(&c, assignment, &fault);
    ck_assert_msg(e == FR_OK, "%s: %s", assignment, fault.msg);
}

static void set_no(const char *assignment, enum fr_err want, const char *words)
{
    memset(&fault, 0, sizeof(fault));
    refused(fr_config_set(&c, assignment, &fault), want, assignment, words);
}

START_TEST(defaults__of_every_type)
{
    ck_assert_str_eq(c.kafka_brokers, "127.0.0.1:9092");
    ck_assert_str_eq(c.kafka_instance, "");
    ck_assert_int_eq(c.topics_partitions, 4);
    ck_assert_int_eq(c.state_ttl_ms, INT64_C(90) * 86400000);
    ck_assert_int_eq(c.kafka_message_max_bytes, 1000000);
    ck_assert(c.recommend_examples);
    ck_assert_int_eq(c.recommend_repeat, FR_REPEAT_LAST);
    ck_assert_int_eq(c.events_types.n, 6);
    ck_assert_str_eq(c.events_types.v[5], "skip");
    ck_assert_int_eq(c.features_lines.n, 0);
    ck_assert_int_eq(fr_config_check(&c, &fault), FR_OK);
}
END_TEST

START_TEST(yaml__every_type)
{
    ck_assert_int_eq(load("# comment\nkafka:\n  brokers: 'a:1,b:2'\n  start: latest\n  message_max_bytes: 64k\n"
                          "  properties: [a=b, \"c=d e\"]\n"
                          "state: {ttl_ms: 30d, cache_users: 7}\nevents:\n  types:\n    - view\n    - buy\n"
                          "  positive: [buy]\nrecommend:\n  on: []\n  examples: false\n  repeat: \"forever\"\nhttp:\n"),
                     FR_OK);
    ck_assert_str_eq(c.kafka_brokers, "a:1,b:2");
    ck_assert_int_eq(c.kafka_start, 1);
    ck_assert_int_eq(c.kafka_message_max_bytes, 65536);
    ck_assert_int_eq(c.kafka_properties.n, 2);
    ck_assert_str_eq(c.kafka_properties.v[1], "c=d e");
    ck_assert_int_eq(c.state_ttl_ms, INT64_C(30) * 86400000);
    ck_assert_int_eq(c.state_cache_users, 7);
    ck_assert_int_eq(c.events_types.n, 2);
    ck_assert_str_eq(c.events_types.v[1], "buy");
    ck_assert_int_eq(c.recommend_on.n, 0);
    ck_assert(!c.recommend_examples);
    ck_assert_int_eq(c.recommend_repeat, FR_REPEAT_FOREVER);
    ck_assert_int_eq(c.http_port, 8720); /* untouched */
    ck_assert_int_eq(load(""), FR_OK);
    ck_assert_int_eq(load("# nothing\n"), FR_OK);
    ck_assert_int_eq(load("recommend:\n  on:\n"), FR_OK); /* an empty value is an empty list */
}
END_TEST

START_TEST(set__units)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {{"60000", 60000},    {"60000ms", 60000}, {"90s", 90000},
                {"10m", 600000},     {"1h", 3600000},    {"30d", INT64_C(30) * 86400000},
                {"1.5h", 5400000},   {"1y", INT64_C(31536000000)}};
    char text[64];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(text, sizeof(text), "state.ttl_ms=%s", rows[i].text);
        set_ok(text);
        ck_assert_int_eq(c.state_ttl_ms, rows[i].ms);
    }
    set_ok("kafka.message_max_bytes=4096");
    ck_assert_int_eq(c.kafka_message_max_bytes, 4096);
    set_ok("kafka.message_max_bytes=64k");
    ck_assert_int_eq(c.kafka_message_max_bytes, 65536);
    set_ok("kafka.message_max_bytes=2m");
    ck_assert_int_eq(c.kafka_message_max_bytes, 2097152);
    set_no("kafka.message_max_bytes=2g", FR_ERANGE, "kafka.message_max_bytes|104857600");
    set_no("kafka.message_max_bytes=2s", FR_ESCHEMA, "unknown unit|k, m, g");
    set_no("state.ttl_ms=5k", FR_ESCHEMA, "unknown unit \"k\"|ms, s, m, h, d");
    set_no("state.ttl_ms=5 s", FR_ESCHEMA, "unknown unit");
    set_no("recommend.n=5s", FR_ESCHEMA, "unknown unit|no unit");
    ck_assert_int_eq(c.kafka_message_max_bytes, 2097152); /* a refusal changes nothing */
}
END_TEST

START_TEST(set__ranges_and_wrong_values)
{
    set_ok("recommend.n=1");
    set_ok("recommend.n=500");
    set_no("recommend.n=0", FR_ERANGE, "recommend.n|[1, 500]");
    set_no("recommend.n=501", FR_ERANGE, "501|[1, 500]|items");
    set_no("recommend.n=-1", FR_ERANGE, "recommend.n");
    set_no("recommend.n=2.5", FR_ESCHEMA, "not a whole number");
    set_no("recommend.n=", FR_ESCHEMA, "recommend.n|not a number");
    set_no("recommend.n=ten", FR_ESCHEMA, "not a number");
    set_no("recommend.n=nan", FR_ESCHEMA, "not a number");
    set_no("recommend.n=0x10", FR_ESCHEMA, "recommend.n");
    set_no("recommend.n=1e2", FR_ESCHEMA, "recommend.n");
    set_no("recommend.n=99999999999999999999", FR_ERANGE, "recommend.n");
    set_ok("recommend.since_ms=9007199254740991");
    ck_assert_int_eq(c.recommend_since_ms, INT64_C(9007199254740991));
    set_no("recommend.examples=yes", FR_ESCHEMA, "true or false");
    set_no("recommend.examples=", FR_ESCHEMA, "true or false");
    set_no("recommend.repeat=las", FR_ESCHEMA, "allow|last|forever");
    set_no("recommend.repeat=", FR_ESCHEMA, "recommend.repeat");
    set_no("kafka.delivery=exactly_once", FR_ESCHEMA, "at_least_once");
    ck_assert_int_eq(c.recommend_n, 500);
}
END_TEST

START_TEST(set__form_and_lists)
{
    set_ok("kafka.brokers=a=b.c:9");
    ck_assert_str_eq(c.kafka_brokers, "a=b.c:9");
    set_ok("kafka.brokers=");
    ck_assert_str_eq(c.kafka_brokers, "");
    set_ok("events.types=view,buy");
    ck_assert_int_eq(c.events_types.n, 2);
    ck_assert_str_eq(c.events_types.v[1], "buy");
    set_ok("events.types=");
    ck_assert_int_eq(c.events_types.n, 0);
    set_no("recommend.n", FR_ESYNTAX, "section.key=value");
    set_no("n=5", FR_ESYNTAX, "section.key=value");
    set_no("", FR_ESYNTAX, "section.key=value");
    set_no("n=5.5", FR_ESYNTAX, "section.key=value");
    set_no("recommend.m=5", FR_ESCHEMA, "unknown key recommend.m|did you mean recommend.n?");
    set_no("kafka.broker=x", FR_ESCHEMA, "did you mean kafka.brokers?");
    set_no("zzzzzzzzz.qqqqqqqqq=1", FR_ESCHEMA, "unknown key zzzzzzzzz.qqqqqqqqq");
    ck_assert_ptr_null(strstr(fault.msg, "did you mean"));
}
END_TEST

START_TEST(yaml__refusals_name_the_place)
{
    static const struct {
        const char *text;
        enum fr_err err;
        const char *words;
    } rows[] = {
        {"kafka:\n  brokers: a\n  broker: b\n", FR_ESCHEMA, "t.yaml:3: |kafka.broker|did you mean kafka.brokers?"},
        {"\nkafak:\n  brokers: a\n", FR_ESCHEMA, "t.yaml:2: |unknown section \"kafak\"|did you mean kafka?"},
        {"recommend:\n  n: 0\n", FR_ERANGE, "t.yaml:2: |recommend.n|[1, 500]"},
        {"recommend:\n  n: 5\n  n: 6\n", FR_EDUPLICATE, "t.yaml:3: |recommend.n|twice"},
        {"recommend:\n  n: 5\nhttp: {}\nrecommend:\n  n: 6\n", FR_EDUPLICATE, "t.yaml:5: |twice"},
        {"recommend:\n  n: 5\n---\nrecommend:\n  n: 6\n", FR_EDUPLICATE, "t.yaml:5: |twice"},
        {"recommend:\n  n: [5]\n", FR_ESCHEMA, "t.yaml:2: |single value"},
        {"recommend:\n  n: {a: 5}\n", FR_ESCHEMA, "t.yaml:2: |single value"},
        {"recommend:\n  on: view\n", FR_ESCHEMA, "t.yaml:2: |list"},
        {"recommend:\n  on: [[view]]\n", FR_ESCHEMA, "t.yaml:2: |list of plain values"},
        {"recommend:\n  on: {a: b}\n", FR_ESCHEMA, "t.yaml:2: |a list is expected"},
        {"recommend:\n  on: [view\n", FR_ESYNTAX, "t.yaml:"},
        {"recommend: 5\n", FR_ESCHEMA, "t.yaml:1: |a mapping is expected"},
        {"recommend: [n]\n", FR_ESCHEMA, "t.yaml:1: |a mapping is expected"},
        {"[recommend]\n", FR_ESCHEMA, "t.yaml:1: |mapping of sections"},
        {"recommend\n", FR_ESCHEMA, "t.yaml:1: |mapping of sections"},
        {"? [a]\n: b\n", FR_ESCHEMA, "t.yaml:1: |section name"},
        {"recommend:\n  ? [a]\n  : b\n", FR_ESCHEMA, "t.yaml:2: |a key is expected"},
        {"recommend:\n\tn: 5\n", FR_ESYNTAX, "t.yaml:2: "},
        {"recommend:\n  n: 5\n bad\n", FR_ESYNTAX, "t.yaml:"},
        {"recommend:\n  n: \"5\n", FR_ESYNTAX, "t.yaml:"},
        {"kafka:\n  brokers: \"a\\0b\"\n", FR_ESCHEMA, "t.yaml:2: |NUL"},
        {"kafka:\n  properties: [\"a=\\0b\"]\n", FR_ESCHEMA, "t.yaml:2: |NUL"},
        {"kafka:\n  brokers: \x01\n", FR_ESYNTAX, "t.yaml:"},
        {"kafka:\n  brokers: \xff\n", FR_ESYNTAX, "t.yaml:"},
        {"kafka: {brokers: a}}\n", FR_ESYNTAX, "t.yaml:1: "},
        /* anchors, aliases and tags, in every place */
        {"kafka:\n  brokers: &a x\n", FR_ESCHEMA, "t.yaml:2: |not allowed"},
        {"kafka:\n  brokers: *a\n", FR_ESCHEMA, "t.yaml:2: |not allowed"},
        {"kafka: &a\n  brokers: x\n", FR_ESCHEMA, "t.yaml:1: |not allowed"},
        {"recommend:\n  on: &a [view]\n", FR_ESCHEMA, "t.yaml:2: |not allowed"},
        {"recommend:\n  n: !!int 5\n", FR_ESCHEMA, "t.yaml:2: |not allowed"},
        {"kafka:\n  brokers: !!binary eA==\n", FR_ESCHEMA, "t.yaml:2: |not allowed"},
        {"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", FR_ESCHEMA, "t.yaml:1: |unknown section"},
        {"events:\n  types: &a [x]\n  positive: *a\n", FR_ESCHEMA, "t.yaml:2: |not allowed"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        refused(load(rows[i].text), rows[i].err, rows[i].text, rows[i].words);
    memset(&fault, 0, sizeof(fault));
    refused(fr_config_load_text(&c, "t.yaml", "a\0b", 3, &fault), FR_ESYNTAX, "NUL", "t.yaml:");
}
END_TEST

START_TEST(yaml__deep_nesting_and_long_lists)
{
    struct fr_buf b;

    fr_buf_init(&b);
    fr_buf_puts(&b, "recommend:\n  on: ");
    for (int i = 0; i < 50000; i++)
        fr_buf_putc(&b, '[');
    memset(&fault, 0, sizeof(fault));
    ck_assert_int_ne(fr_config_load_text(&c, "t.yaml", b.p, b.n, &fault), FR_OK);
    ck_assert(fault.msg[0] != '\0');
    for (int n = 256; n <= 257; n++) {
        fr_buf_clear(&b);
        fr_buf_puts(&b, "features:\n  lines:\n");
        for (int i = 0; i < n; i++)
            fr_buf_printf(&b, "    - line %d\n", i);
        ck_assert_int_eq(fr_config_load_text(&c, "t.yaml", b.p, b.n, &fault), n == 256 ? FR_OK : FR_ETOOLARGE);
        ck_assert_int_eq(c.features_lines.n, 256);
    }
    fr_buf_done(&b);
}
END_TEST

START_TEST(sources__later_ones_win)
{
    ck_assert_int_eq(setenv("FRESHET_RECOMMEND_N", "31", 1), 0);
    ck_assert_int_eq(setenv("FRESHET_EVENTS_TYPES", "a,b,c", 1), 0);
    ck_assert_int_eq(setenv("FRESHET_STATE_TTL_MS", "2d", 1), 0);
    ck_assert_int_eq(load("recommend: {n: 21, candidates: 22}\nevents: {types: [x]}\n"), FR_OK);
    ck_assert_int_eq(c.recommend_n, 21);
    ck_assert_int_eq(fr_config_load_env(&c, &fault), FR_OK);
    ck_assert_int_eq(c.recommend_n, 31);
    ck_assert_int_eq(c.recommend_candidates, 22);
    ck_assert_int_eq(c.events_types.n, 3);
    ck_assert_int_eq(c.state_ttl_ms, 172800000);
    set_ok("recommend.n=41");
    ck_assert_int_eq(c.recommend_n, 41);
    ck_assert_int_eq(setenv("FRESHET_RECOMMEND_N", "many", 1), 0);
    memset(&fault, 0, sizeof(fault));
    refused(fr_config_load_env(&c, &fault), FR_ESCHEMA, "environment", "FRESHET_RECOMMEND_N|recommend.n");
    ck_assert_int_eq(setenv("FRESHET_RECOMMEND_N", "9999", 1), 0);
    refused(fr_config_load_env(&c, &fault), FR_ERANGE, "environment", "FRESHET_RECOMMEND_N|[1, 500]");
}
END_TEST

/* A slip in a name is no silence; names of no section are somebody else's. */
START_TEST(env__unknown_key_of_a_section__refused)
{
    ck_assert_int_eq(setenv("FRESHET_OTHER_THING", "1", 1), 0);
    ck_assert_int_eq(setenv("FRESHET_KAFKA", "1", 1), 0);
    ck_assert_int_eq(fr_config_load_env(&c, &fault), FR_OK);
    ck_assert_int_eq(setenv("FRESHET_KAFKA_BROKRES", "x:1", 1), 0);
    refused(fr_config_load_env(&c, &fault), FR_ESCHEMA, "environment", "FRESHET_KAFKA_BROKRES|kafka.brokres|did you mean kafka.brokers?");
    ck_assert_int_eq(unsetenv("FRESHET_KAFKA_BROKRES"), 0);
    ck_assert_int_eq(fr_config_load_env(&c, &fault), FR_OK);
}
END_TEST

START_TEST(check__across_keys)
{
    ck_assert_int_eq(load("events: {types: [view], positive: [view, buy]}\nrecommend: {on: []}\n"), FR_OK);
    refused(fr_config_check(&c, &fault), FR_ESCHEMA, "check", "events.positive|buy|events.types");
    set_ok("events.positive=view");
    set_ok("recommend.on=buy");
    refused(fr_config_check(&c, &fault), FR_ESCHEMA, "check", "recommend.on|buy");
    set_ok("recommend.on=view");
    set_ok("kafka.properties=a");
    refused(fr_config_check(&c, &fault), FR_ESCHEMA, "check", "kafka.properties|key=value");
    set_ok("kafka.properties=a=b");
    ck_assert_int_eq(fr_config_check(&c, &fault), FR_OK);
}
END_TEST

/* What a dump holds loads to the same values, whatever the text in it. */
START_TEST(dump__loads_again)
{
    static const char *const texts[] = {"",    "a: b", "#x",  "'",      "\"",     "a\\b",         "- a",
                                        "[x",  "&a",   "*a",  "!t",     "true",   "null",         "~",
                                        " a ", "\t",   "a\nb", "%a",    "@a",     "\xc3\xa9\xe2\x82\xac", "\x7f",
                                        "\x01", "\x1f", "---", "0x1",   "a #b",   "\xf0\x9f\x98\x80",
                                        "\xc2\x80", "a\xc2\x85z", "\xc2\x9f", "a\xe2\x80\xa8z", "\xe2\x80\xa9",
                                        "\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf", "\xc2\xa0"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct fr_config again;
        struct fr_buf b, names;
        char set[64];

        snprintf(set, sizeof(set), "redis.user=%s", texts[i]);
        set_ok(set);
        snprintf(set, sizeof(set), "features.lines=x,%s", texts[i]);
        set_ok(set);
        fr_buf_init(&b);
        fr_buf_init(&names);
        fr_config_dump(&c, &b);
        ck_assert_int_eq(fr_config_init(&again, &fault), FR_OK);
        ck_assert_msg(fr_config_load_text(&again, "dump", b.p, b.n, &fault) == FR_OK, "text %zu: %s", i, fault.msg);
        ck_assert_msg(fr_config_diff(&c, &again, false, &names) == 0, "text %zu: %.*s", i, (int)names.n, names.p);
        ck_assert_int_eq(fr_config_diff(&c, &again, true, &names), 0);
        fr_config_done(&again);
        fr_buf_done(&b);
        fr_buf_done(&names);
    }
}
END_TEST

START_TEST(diff__by_reload_column)
{
    struct fr_config other;
    struct fr_buf b;

    fr_buf_init(&b);
    ck_assert_int_eq(fr_config_init(&other, &fault), FR_OK);
    ck_assert_int_eq(fr_config_diff(&c, &other, true, &b), 0);
    set_ok("recommend.n=3");
    set_ok("log.level=debug");
    set_ok("recommend.on=view");
    set_ok("http.port=1");
    set_ok("kafka.group=g");
    ck_assert_int_eq(fr_config_diff(&c, &other, true, &b), 3);
    ck_assert(fr_str_eqz(fr_buf_str(&b), "recommend.on, recommend.n, log.level"));
    fr_buf_clear(&b);
    ck_assert_int_eq(fr_config_diff(&c, &other, false, &b), 2);
    ck_assert(fr_str_eqz(fr_buf_str(&b), "kafka.group, http.port"));
    fr_config_done(&other);
    fr_buf_done(&b);
}
END_TEST

START_TEST(file__absent)
{
    refused(fr_config_load_file(&c, "/nonexistent/freshet.yaml", &fault), FR_ENOTFOUND, "file",
            "/nonexistent/freshet.yaml");
}
END_TEST

/* Whichever of our allocations fails: FR_ENOMEM, nothing leaked (a sanitizer sees), the struct releasable. */
START_TEST(out_of_memory__swept)
{
    static const char text[] = "kafka: {brokers: x, properties: [a=b, c=d]}\nrecommend: {on: [view]}\n";
    enum fr_err e = FR_ENOMEM;

    for (uint64_t nth = 1; e != FR_OK; nth++) {
        struct fr_config fresh;
        fr_alloc_fail_at(nth);
        e = fr_config_init(&fresh, &fault);
        if (e == FR_OK)
            e = fr_config_load_text(&fresh, "t.yaml", text, sizeof(text) - 1, &fault);
        fr_alloc_fail_at(0);
        ck_assert(e == FR_OK || e == FR_ENOMEM);
        ck_assert_uint_lt(nth, 1000);
        fr_config_done(&fresh);
        fr_config_done(&fresh);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 30);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, defaults__of_every_type);
    tcase_add_test(t, yaml__every_type);
    tcase_add_test(t, set__units);
    tcase_add_test(t, set__ranges_and_wrong_values);
    tcase_add_test(t, set__form_and_lists);
    tcase_add_test(t, yaml__refusals_name_the_place);
    tcase_add_test(t, yaml__deep_nesting_and_long_lists);
    tcase_add_test(t, sources__later_ones_win);
    tcase_add_test(t, env__unknown_key_of_a_section__refused);
    tcase_add_test(t, check__across_keys);
    tcase_add_test(t, dump__loads_again);
    tcase_add_test(t, diff__by_reload_column);
    tcase_add_test(t, file__absent);
    tcase_add_test(t, out_of_memory__swept);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
