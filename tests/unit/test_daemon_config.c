/* Values of the configuration: every type, unit and range, unknown keys, environment, --set, checks. */
#include "daemon/config.h"

#include <check.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/config_row.h"

static struct fr_config c;
static struct fr_fault f;

static void setup(void)
{
    memset(&f, 0, sizeof(f));
    ck_assert_msg(fr_config_init(&c, &f) == FR_OK, "%s", f.msg);
}

static void teardown(void)
{
    fr_config_done(&c);
    fr_config_done(&c); /* twice is nothing */
}

static enum fr_err set(const char *assignment)
{
    memset(&f, 0, sizeof(f));
    return fr_config_set(&c, assignment, &f);
}

static void env_name(const struct fr_config_row *row, char out[96])
{
    snprintf(out, 96, "FRESHET_%s_%s", row->section, row->key);
    for (char *p = out; *p != '\0'; p++)
        *p = (char)toupper((unsigned char)*p);
}

/* The table itself: distinct keys and environment names, defaults in range, lower case. */
START_TEST(rows__all__distinct_and_with_a_default_that_holds)
{
    ck_assert_int_gt(fr_config_n_rows, 50);
    for (int i = 0; i < fr_config_n_rows; i++) {
        const struct fr_config_row *r = &fr_config_rows[i];
        char mine[96], other[96];
        env_name(r, mine);
        ck_assert_ptr_eq(fr_config_find(fr_str_z(r->section), fr_str_z(r->key)), r);
        for (int k = 0; k < i; k++) {
            env_name(&fr_config_rows[k], other);
            ck_assert_str_ne(mine, other);
            ck_assert_uint_ne(r->offset, fr_config_rows[k].offset);
        }
        for (const char *p = r->key; *p != '\0'; p++)
            ck_assert(islower((unsigned char)*p) || *p == '_');
        if (r->type == FR_CONFIG_MS && strstr(r->key, "_ms") == NULL)
            ck_abort_msg("%s.%s is a time without its unit in the name", r->section, r->key);
    }
    ck_assert_ptr_null(fr_config_find(FR_STR_LIT("kafka"), FR_STR_LIT("broker")));
    ck_assert_ptr_null(fr_config_find(FR_STR_LIT("kafk"), FR_STR_LIT("brokers")));
    ck_assert_ptr_null(fr_config_find(FR_STR_LIT("kafka"), FR_STR_LIT("brokers\0")));
}
END_TEST

START_TEST(init__defaults__as_config_def_says)
{
    ck_assert_str_eq(c.kafka_brokers, "127.0.0.1:9092");
    ck_assert_int_eq(c.topics_retention_ms, INT64_C(7) * 86400 * 1000);
    ck_assert_int_eq(c.features_user_half_life_short_ms, 3600000);
    ck_assert_int_eq(c.recommend_repeat, FR_REPEAT_LAST);
    ck_assert(c.recommend_examples);
    ck_assert_int_eq(c.events_types.n, 6);
    ck_assert_str_eq(c.events_types.v[2], "purchase");
    ck_assert_int_eq(c.kafka_properties.n, 0);
    ck_assert_int_eq(fr_config_check(&c, &f), FR_OK);
}
END_TEST

struct number_case {
    const char *text;
    enum fr_err want;
    int64_t v;
};

static void check_numbers(const char *key, const int64_t *value, const struct number_case *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char a[160];
        int64_t before = *value;
        snprintf(a, sizeof(a), "%s=%s", key, t[i].text);
        ck_assert_msg(set(a) == t[i].want, "%s: %s", a, f.msg);
        ck_assert_msg(*value == (t[i].want == FR_OK ? t[i].v : before), "%s gives %" PRId64, a, *value);
        if (t[i].want != FR_OK) {
            ck_assert_msg(strstr(f.msg, key) != NULL, "%s does not name the key", f.msg);
            ck_assert_int_eq(f.err, t[i].want);
        }
    }
}

START_TEST(set__ms__units_and_range)
{
    static const struct number_case t[] = {
        {"0", FR_OK, 0},
        {"250", FR_OK, 250},
        {"250ms", FR_OK, 250},
        {"5s", FR_OK, 5000},
        {"10m", FR_OK, 600000},
        {"10min", FR_OK, 600000},
        {"1h", FR_OK, 3600000},
        {"30d", FR_OK, INT64_C(2592000000)},
        {"1y", FR_OK, INT64_C(31536000000)},
        {"1.5s", FR_OK, 1500},
        {"1.001s", FR_OK, 1001}, /* 1.001 * 1000 is 1000.9999999999999 in double */
        {"4.35s", FR_OK, 4350},
        {"0.001s", FR_OK, 1},
        {"365.0d", FR_OK, INT64_C(31536000000)},
        {"0.5ms", FR_ESCHEMA, 0},
        {"0.0015s", FR_ESCHEMA, 0},
        {"366d", FR_ERANGE, 0},
        {"-1", FR_ERANGE, 0},
        {"-1s", FR_ERANGE, 0},
        {"5 s", FR_ESCHEMA, 0},
        {"5S", FR_ESCHEMA, 0},
        {"5sec", FR_ESCHEMA, 0},
        {"5us", FR_ESCHEMA, 0},
        {"5k", FR_ESCHEMA, 0},
        {"s", FR_ESCHEMA, 0},
        {"", FR_ESCHEMA, 0},
        {"1-2", FR_ESCHEMA, 0},
        {"--1", FR_ESCHEMA, 0},
        {"1e3", FR_ESCHEMA, 0},
        {"0x10", FR_ESCHEMA, 0},
        {"nan", FR_ESCHEMA, 0},
        {"inf", FR_ESCHEMA, 0},
        {"99999999999999999999999999y", FR_ERANGE, 0},
    };
    check_numbers("topics.retention_ms", &c.topics_retention_ms, t, sizeof(t) / sizeof(t[0]));
    ck_assert_int_eq(set("topics.retention_ms=5sec"), FR_ESCHEMA);
    ck_assert_ptr_nonnull(strstr(f.msg, "sec"));
    ck_assert_ptr_nonnull(strstr(f.msg, "ms, s, m, h, d")); /* says what may be used */
    ck_assert_int_eq(set("topics.retention_ms=-1"), FR_ERANGE);
    ck_assert_ptr_nonnull(strstr(f.msg, "31536000000")); /* says the range */
}
END_TEST

START_TEST(set__bytes__units_and_range)
{
    static const struct number_case t[] = {
        {"1000", FR_OK, 1000},       {"1000b", FR_OK, 1000},         {"64k", FR_OK, 65536},
        {"1m", FR_OK, 1048576},      {"1.5k", FR_OK, 1536},          {"0.05g", FR_ESCHEMA, 0},
        {"100m", FR_OK, 104857600},  {"999", FR_ERANGE, 0},          {"101m", FR_ERANGE, 0},
        {"1kb", FR_ESCHEMA, 0},      {"1K", FR_ESCHEMA, 0},          {"1s", FR_ESCHEMA, 0},
        {"1000.5", FR_ESCHEMA, 0},   {"1k ", FR_ESCHEMA, 0},         {"0.0625g", FR_OK, 67108864},
    };
    check_numbers("kafka.message_max_bytes", &c.kafka_message_max_bytes, t, sizeof(t) / sizeof(t[0]));
}
END_TEST

START_TEST(set__int__no_unit_no_fraction)
{
    static const struct number_case t[] = {
        {"1", FR_OK, 1},         {"500", FR_OK, 500},      {"007", FR_OK, 7},        {"20.0", FR_OK, 20},
        {"0", FR_ERANGE, 0},     {"501", FR_ERANGE, 0},    {"20.5", FR_ESCHEMA, 0},  {"20k", FR_ESCHEMA, 0},
        {"20ms", FR_ESCHEMA, 0}, {" 20", FR_ESCHEMA, 0},   {"+20", FR_ESCHEMA, 0},   {"twenty", FR_ESCHEMA, 0},
        {"\xC2\xB2", FR_ESCHEMA, 0},
    };
    check_numbers("recommend.n", &c.recommend_n, t, sizeof(t) / sizeof(t[0]));
    ck_assert_int_eq(set("recommend.since_ms=9007199254740991"), FR_OK); /* 2^53 - 1, exact */
    ck_assert_int_eq(c.recommend_since_ms, INT64_C(9007199254740991));
    ck_assert_int_eq(set("recommend.since_ms=9007199254740992"), FR_ERANGE);
}
END_TEST

/* No row is of this type now; the parser for it must not rot. */
START_TEST(put__f64__value_range_and_text)
{
    struct fr_config_row row = {"test", "ratio", FR_CONFIG_F64, "0.5", 0.25, 0.75, "", false, "",
                                offsetof(struct fr_config, recommend_since_ms)};
    double v = -1;
    struct fr_buf b;
    ck_assert_int_eq(fr_config_put(&c, &row, FR_STR_LIT("0.3"), "", &f), FR_OK);
    memcpy(&v, &c.recommend_since_ms, sizeof(v));
    ck_assert_double_eq(v, 0.3);
    fr_buf_init(&b);
    fr_config_format(&c, &row, &b);
    ck_assert(fr_str_eqz(fr_buf_str(&b), "0.3"));
    fr_buf_done(&b);
    ck_assert_int_eq(fr_config_put(&c, &row, FR_STR_LIT("0.8"), "x:3: ", &f), FR_ERANGE);
    ck_assert_ptr_nonnull(strstr(f.msg, "x:3: test.ratio"));
    ck_assert_msg(strstr(f.msg, "0.8") != NULL && strstr(f.msg, "[0.25, 0.75]") != NULL, "%s", f.msg);
    ck_assert_int_eq(fr_config_put(&c, &row, FR_STR_LIT("0.3s"), "", &f), FR_ESCHEMA);
    ck_assert_int_eq(fr_config_put(&c, &row, FR_STR_LIT("nan"), "", &f), FR_ESCHEMA);
    memcpy(&v, &c.recommend_since_ms, sizeof(v));
    ck_assert_double_eq(v, 0.3);
}
END_TEST

START_TEST(set__str_bool_enum__values_and_refusals)
{
    const char *const bad_bool[] = {"True", "yes", "1", "", "on", "truE", "true "};
    const char *const bad_enum[] = {"", "allo", "allow|last", "Last", "forever ", "2"};
    char a[80];
    ck_assert_int_eq(set("kafka.brokers=a=b,c.d:1"), FR_OK); /* only the first '=' splits */
    ck_assert_str_eq(c.kafka_brokers, "a=b,c.d:1");
    ck_assert_int_eq(set("kafka.brokers="), FR_OK);
    ck_assert_str_eq(c.kafka_brokers, "");
    ck_assert_int_eq(set("recommend.examples=false"), FR_OK);
    ck_assert(!c.recommend_examples);
    for (size_t i = 0; i < sizeof(bad_bool) / sizeof(bad_bool[0]); i++) {
        snprintf(a, sizeof(a), "recommend.examples=%s", bad_bool[i]);
        ck_assert_int_eq(set(a), FR_ESCHEMA);
        ck_assert(!c.recommend_examples);
    }
    ck_assert_int_eq(set("recommend.repeat=forever"), FR_OK);
    ck_assert_int_eq(c.recommend_repeat, FR_REPEAT_FOREVER);
    ck_assert_int_eq(set("recommend.repeat=allow"), FR_OK);
    ck_assert_int_eq(c.recommend_repeat, FR_REPEAT_ALLOW);
    for (size_t i = 0; i < sizeof(bad_enum) / sizeof(bad_enum[0]); i++) {
        snprintf(a, sizeof(a), "recommend.repeat=%s", bad_enum[i]);
        ck_assert_int_eq(set(a), FR_ESCHEMA);
        ck_assert_ptr_nonnull(strstr(f.msg, "allow|last|forever"));
        ck_assert_int_eq(c.recommend_repeat, FR_REPEAT_ALLOW);
    }
    ck_assert_int_eq(fr_config_put(&c, fr_config_find(FR_STR_LIT("kafka"), FR_STR_LIT("group")),
                                   FR_STR_LIT("a\0b"), "f:1: ", &f), FR_ESCHEMA);
    ck_assert_str_eq(c.kafka_group, "freshet");
}
END_TEST

START_TEST(set__list__split_at_commas)
{
    char many[2000] = "events.types=";
    ck_assert_int_eq(set("events.types=a,b,,c"), FR_OK);
    ck_assert_int_eq(c.events_types.n, 4);
    ck_assert_str_eq(c.events_types.v[0], "a");
    ck_assert_str_eq(c.events_types.v[2], "");
    ck_assert_str_eq(c.events_types.v[3], "c");
    ck_assert_int_eq(set("events.types="), FR_OK);
    ck_assert_int_eq(c.events_types.n, 0);
    for (size_t i = 0; i < 255; i++)
        memcpy(many + 13 + 2 * i, "x,", 3);
    ck_assert_int_eq(set(many), FR_OK);
    ck_assert_int_eq(c.events_types.n, 256);
    memcpy(many + strlen(many), ",", 2);
    ck_assert_int_eq(set(many), FR_ETOOLARGE);
    ck_assert_int_eq(c.events_types.n, 256);
    /* a scalar put into a list row is refused */
    ck_assert_int_eq(fr_config_put(&c, fr_config_find(FR_STR_LIT("events"), FR_STR_LIT("types")),
                                   FR_STR_LIT("a"), "f:9: ", &f), FR_ESCHEMA);
    ck_assert_ptr_nonnull(strstr(f.msg, "f:9: events.types"));
}
END_TEST

START_TEST(drop_env__every_row__defaults_again_and_nothing_else)
{
    ck_assert_int_eq(setenv("FRESHET_KAFKA_BROKERS", "elsewhere:9092", 1), 0);
    ck_assert_int_eq(setenv("FRESHET_REDIS_ADDRESS", "elsewhere:6379", 1), 0);
    ck_assert_int_eq(setenv("FRESHET_HTTP_PORT", "1", 1), 0);
    ck_assert_int_eq(setenv("FRESHET_KAFKA_JARS", "kept", 1), 0); /* no key */
    fr_config_drop_env();
    ck_assert_ptr_null(getenv("FRESHET_KAFKA_BROKERS"));
    ck_assert_ptr_null(getenv("FRESHET_REDIS_ADDRESS"));
    ck_assert_ptr_null(getenv("FRESHET_HTTP_PORT"));
    ck_assert_str_eq(getenv("FRESHET_KAFKA_JARS"), "kept");
    ck_assert_int_eq(unsetenv("FRESHET_KAFKA_JARS"), 0);
}
END_TEST

START_TEST(set__unknown_or_malformed__nearest_key_named)
{
    static const struct {
        const char *text, *hint;
        enum fr_err e;
    } t[] = {
        {"kafka.broker=x", "did you mean kafka.brokers?", FR_ESCHEMA},
        {"kafka.gruop=x", "did you mean kafka.group?", FR_ESCHEMA},
        {"recomend.n=5", "did you mean recommend.n?", FR_ESCHEMA},
        {"lane.count=5", "did you mean lanes.count?", FR_ESCHEMA},
        {"entirely.different_thing=5", "unknown key entirely.different_thing", FR_ESCHEMA},
        {"kafka=x", "section.key=value", FR_ESYNTAX},
        {"kafka.brokers", "section.key=value", FR_ESYNTAX},
        {"=", "section.key=value", FR_ESYNTAX},
        {"", "section.key=value", FR_ESYNTAX},
        {"a=b.c", "section.key=value", FR_ESYNTAX},
        {".=", "unknown key", FR_ESCHEMA},
    };
    char longer[3000];
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        ck_assert_msg(set(t[i].text) == t[i].e, "%s: %s", t[i].text, f.msg);
        ck_assert_msg(strstr(f.msg, t[i].hint) != NULL, "%s: %s", t[i].text, f.msg);
    }
    memset(longer, 'k', sizeof(longer) - 1);
    longer[1000] = '.';
    longer[2000] = '=';
    longer[sizeof(longer) - 1] = '\0';
    ck_assert_int_eq(set(longer), FR_ESCHEMA);
    ck_assert_uint_lt(strlen(f.msg), FR_FAULT_MSG);
    ck_assert_int_eq(fr_config_set(&c, "x.y=z", NULL), FR_ESCHEMA); /* nobody to tell */
}
END_TEST

/* FRESHET_SECTION_KEY, for every row; later sources win: defaults, file, environment, --set. */
START_TEST(load_env__every_row__by_its_name)
{
    for (int i = 0; i < fr_config_n_rows; i++) {
        const struct fr_config_row *r = &fr_config_rows[i];
        char name[96], text[64];
        struct fr_buf b;
        const char *want = text;
        env_name(r, name);
        fr_buf_init(&b);
        if (r->type == FR_CONFIG_STR)
            want = "a b";
        else if (r->type == FR_CONFIG_BOOL)
            want = "false";
        else if (r->type == FR_CONFIG_ENUM)
            want = strrchr(r->unit, '|') != NULL ? strrchr(r->unit, '|') + 1 : r->unit;
        else if (r->type == FR_CONFIG_LIST)
            want = "p=q,r";
        else
            snprintf(text, sizeof(text), "%.0f", r->max);
        ck_assert_int_eq(setenv(name, want, 1), 0);
        ck_assert_msg(fr_config_load_env(&c, &f) == FR_OK, "%s", f.msg);
        fr_config_format(&c, r, &b);
        fr_buf_putc(&b, '\0');
        if (r->type == FR_CONFIG_LIST)
            ck_assert_str_eq(b.p, "[\"p=q\", \"r\"]");
        else if (r->type == FR_CONFIG_STR)
            ck_assert_str_eq(b.p, "\"a b\"");
        else
            ck_assert_msg(strncmp(b.p, want, strlen(want)) == 0, "%s: %s", name, b.p);
        fr_buf_done(&b);
        if (r->type != FR_CONFIG_STR && r->type != FR_CONFIG_LIST) {
            ck_assert_int_eq(setenv(name, "?", 1), 0);
            ck_assert_int_ne(fr_config_load_env(&c, &f), FR_OK);
            ck_assert_msg(strncmp(f.msg, name, strlen(name)) == 0, "%s", f.msg);
        }
        ck_assert_int_eq(unsetenv(name), 0);
    }
}
END_TEST

START_TEST(sources__file_env_set__the_later_wins)
{
    static const char yaml[] = "recommend:\n  n: 11\n  candidates: 12\n  popular: 13\nlanes: {count: 14}\n";
    ck_assert_int_eq(fr_config_load_text(&c, "f.yaml", yaml, sizeof(yaml) - 1, &f), FR_OK);
    ck_assert_int_eq(setenv("FRESHET_RECOMMEND_CANDIDATES", "22", 1), 0);
    ck_assert_int_eq(setenv("FRESHET_RECOMMEND_POPULAR", "23", 1), 0);
    ck_assert_int_eq(fr_config_load_env(&c, &f), FR_OK);
    ck_assert_int_eq(set("recommend.popular=33"), FR_OK);
    ck_assert_int_eq(c.recommend_n, 11);
    ck_assert_int_eq(c.recommend_candidates, 22);
    ck_assert_int_eq(c.recommend_popular, 33);
    ck_assert_int_eq(c.lanes_count, 14);
    ck_assert_int_eq(c.index_m, 16);
    ck_assert_int_eq(unsetenv("FRESHET_RECOMMEND_CANDIDATES"), 0);
    ck_assert_int_eq(unsetenv("FRESHET_RECOMMEND_POPULAR"), 0);
}
END_TEST

START_TEST(check__across_keys__names_both)
{
    ck_assert_int_eq(set("recommend.on=click,bought"), FR_OK);
    ck_assert_int_eq(fr_config_check(&c, &f), FR_ESCHEMA);
    ck_assert_ptr_nonnull(strstr(f.msg, "recommend.on"));
    ck_assert_ptr_nonnull(strstr(f.msg, "\"bought\""));
    ck_assert_ptr_nonnull(strstr(f.msg, "events.types"));
    ck_assert_int_eq(set("events.types=click,bought"), FR_OK);
    ck_assert_int_eq(fr_config_check(&c, &f), FR_ESCHEMA);
    ck_assert_ptr_nonnull(strstr(f.msg, "events.positive"));
    ck_assert_int_eq(set("events.positive="), FR_OK);
    ck_assert_int_eq(fr_config_check(&c, &f), FR_OK);
    ck_assert_int_eq(set("kafka.properties=debug"), FR_OK);
    ck_assert_int_eq(fr_config_check(&c, &f), FR_ESCHEMA);
    ck_assert_ptr_nonnull(strstr(f.msg, "kafka.properties"));
    ck_assert_int_eq(set("kafka.properties="), FR_OK);
    ck_assert_int_eq(set("models.score_click_power=0"), FR_OK);
    ck_assert_int_eq(fr_config_check(&c, &f), FR_ESCHEMA);
    ck_assert_ptr_nonnull(strstr(f.msg, "models.score_value_power"));
    ck_assert_int_eq(set("models.score_value_power=0.5"), FR_OK);
    ck_assert_int_eq(fr_config_check(&c, &f), FR_OK);
    ck_assert_int_eq(set("models.score_value_power=-1"), FR_ERANGE);
}
END_TEST

/* Each row differs in itself only, and counts on the side of its column "reload". */
START_TEST(diff__one_changed_row__named_on_its_side)
{
    struct fr_config other;
    ck_assert_int_eq(fr_config_init(&other, NULL), FR_OK);
    for (int i = 0; i < fr_config_n_rows; i++) {
        const struct fr_config_row *r = &fr_config_rows[i];
        char a[200], want[120];
        struct fr_buf b;
        if (r->type == FR_CONFIG_ENUM && strchr(r->unit, '|') == NULL)
            continue;
        snprintf(want, sizeof(want), "%s.%s", r->section, r->key);
        if (r->type == FR_CONFIG_ENUM)
            snprintf(a, sizeof(a), "%s=%s", want, strrchr(r->unit, '|') + 1);
        else if (r->type == FR_CONFIG_BOOL)
            snprintf(a, sizeof(a), "%s=false", want);
        else if (r->type == FR_CONFIG_STR || r->type == FR_CONFIG_LIST)
            snprintf(a, sizeof(a), "%s=other", want);
        else
            snprintf(a, sizeof(a), "%s=%.0f", want, r->max);
        if (strcmp(a, "events.dedup_window=16") == 0)
            snprintf(a, sizeof(a), "%s=1", want); /* its default is its maximum */
        fr_buf_init(&b);
        ck_assert_int_eq(fr_config_set(&other, a, NULL), FR_OK);
        ck_assert_int_eq(fr_config_diff(&c, &other, r->reload, &b), 1);
        ck_assert(fr_str_eqz(fr_buf_str(&b), want));
        ck_assert_int_eq(fr_config_diff(&c, &other, !r->reload, &b), 0);
        fr_buf_done(&b);
        fr_config_done(&other);
        ck_assert_int_eq(fr_config_init(&other, NULL), FR_OK);
    }
    fr_config_done(&other);
}
END_TEST

/* Every allocation fails in turn: FR_ENOMEM, nothing leaks, and what is there can be released. */
START_TEST(sweep__each_allocation_fails__enomem)
{
    enum fr_err e = FR_ENOMEM;
    for (uint64_t n = 1; e != FR_OK; n++) {
        struct fr_config d;
        memset(&d, 0, sizeof(d));
        ck_assert_uint_lt(n, 1000);
        fr_alloc_fail_at(n);
        e = fr_config_init(&d, NULL);
        if (e == FR_OK)
            e = fr_config_set(&d, "events.types=a,b,c", NULL);
        if (e == FR_OK)
            e = fr_config_set(&d, "kafka.group=g", NULL);
        fr_alloc_fail_at(0);
        ck_assert(e == FR_OK || e == FR_ENOMEM);
        fr_config_done(&d);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("daemon/config");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, rows__all__distinct_and_with_a_default_that_holds);
    tcase_add_test(tc, init__defaults__as_config_def_says);
    tcase_add_test(tc, set__ms__units_and_range);
    tcase_add_test(tc, set__bytes__units_and_range);
    tcase_add_test(tc, set__int__no_unit_no_fraction);
    tcase_add_test(tc, put__f64__value_range_and_text);
    tcase_add_test(tc, set__str_bool_enum__values_and_refusals);
    tcase_add_test(tc, set__list__split_at_commas);
    tcase_add_test(tc, drop_env__every_row__defaults_again_and_nothing_else);
    tcase_add_test(tc, set__unknown_or_malformed__nearest_key_named);
    tcase_add_test(tc, load_env__every_row__by_its_name);
    tcase_add_test(tc, sources__file_env_set__the_later_wins);
    tcase_add_test(tc, check__across_keys__names_both);
    tcase_add_test(tc, diff__one_changed_row__named_on_its_side);
    tcase_add_test(tc, sweep__each_allocation_fails__enomem);
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
