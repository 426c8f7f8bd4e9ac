/* The declaration: defaults, every refusal with line, column and nearest name, the schema hash. */
#include "features/spec.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "features/spec_line.h"
#include "tests/support/feat.h"

static enum fr_err compile_line(const char *line, struct fr_fault *f)
{
    struct fr_spec_input in;
    struct fr_str lines[2] = {FR_STR_LIT("first = user_id()"), fr_str_z(line)};
    struct fr_spec *spec = NULL;

    fr_spec_input_default(&in);
    in.features = lines;
    in.n_features = 2;
    enum fr_err e = fr_spec_compile(&in, &spec, f);
    ck_assert((spec != NULL) == (e == FR_OK));
    fr_spec_free(spec);
    return e;
}

START_TEST(compile__defaults__fields_in_declaration_order)
{
    struct fr_spec *spec = feat_spec(NULL);
    int n;
    const char *const *lines = fr_spec_default_lines(&n);

    ck_assert_int_eq(spec->n_feat, n);
    ck_assert_int_eq(spec->fields.n, n);
    for (int i = 0; i < n; i++) {
        size_t len = strlen(spec->fields.f[i].name);
        ck_assert_int_eq(memcmp(lines[i], spec->fields.f[i].name, len), 0);
        ck_assert_int_eq(spec->feat[i].field, i);
        ck_assert_int_eq(spec->feat[i].entity, spec->fields.f[i].entity);
    }
    int h = fr_field_find(&spec->fields, FR_STR_LIT("history"));
    ck_assert_int_ge(h, 0);
    ck_assert_uint_eq(spec->fields.f[h].slots, 50);
    ck_assert_str_eq(spec->fields.f[h].table, "item");
    ck_assert_int_eq(spec->fields.f[h].kind, FR_FIELD_ID);
    int r = fr_field_find(&spec->fields, FR_STR_LIT("item_click_rate"));
    int click = fr_spec_type(spec, FR_STR_LIT("click"));
    int shown = fr_spec_type(spec, FR_STR_LIT("impressions"));
    ck_assert_int_ge(r, 0);
    ck_assert_uint_ne(spec->feat[r].types & (1u << click), 0);
    ck_assert_uint_eq(spec->feat[r].types & (1u << shown), 0);
    ck_assert_uint_ne(spec->feat[r].of & (1u << shown), 0);
    ck_assert_int_eq(spec->feat[r].half_life, 1);
    ck_assert_int_ge(spec->feat[r].column, 0);
    ck_assert_int_eq(spec->column_feat[spec->feat[r].column], r);
    ck_assert(fr_spec_field_static(spec, fr_field_find(&spec->fields, FR_STR_LIT("item_words"))));
    ck_assert(!fr_spec_field_static(spec, r));
    ck_assert(!fr_spec_field_static(spec, h));
    fr_spec_free(spec);
}
END_TEST

static const struct {
    const char *line;
    enum fr_err err;
    const char *says; /* part of the message */
} refused[] = {
    {"", FR_ESYNTAX, "line 2, column 1: expected a feature name"},
    {"9x = user_id()", FR_ESYNTAX, "line 2, column 1: expected a feature name"},
    {"x user_id()", FR_ESYNTAX, "line 2, column 3: expected \"=\""},
    {"x = ", FR_ESYNTAX, "line 2, column 5: expected a feature kind"},
    {"x = recency", FR_ESYNTAX, "expected \"(\""},
    {"x = recency(", FR_ESYNTAX, "line 2, column 13: expected an argument name"},
    {"x = recency(type)", FR_ESYNTAX, "line 2, column 17: expected \"=\""},
    {"x = recency(type=)", FR_ESYNTAX, "line 2, column 18: expected a value"},
    {"x = recency(type=click", FR_ESYNTAX, "expected \",\" or \")\""},
    {"x = recency(type=click) y", FR_ESYNTAX, "line 2, column 25: expected the end"},
    {"x = recency(type=click, type=view)",
     FR_EDUPLICATE,
     "line 2, column 25: argument \"type\" twice"},
    {"x = recency(type=click, types=view)", FR_EDUPLICATE, "both type and types"},
    {"x = decayed_cout(type=click)",
     FR_EINVAL,
     "line 2, column 5: unknown kind \"decayed_cout\" (nearest: decayed_count)"},
    {"x = zzzzzzzzzzzz()", FR_EINVAL, "unknown kind \"zzzzzzzzzzzz\" (one of: user_id"},
    {"x = recency(tpe=click)",
     FR_EINVAL,
     "line 2, column 13: unknown argument \"tpe\" (nearest: type)"},
    {"x = recency(type=clik)",
     FR_EINVAL,
     "line 2, column 18: unknown event type \"clik\" (nearest: click)"},
    {"x = recency(types=click|vew)",
     FR_EINVAL,
     "line 2, column 25: unknown event type \"vew\" (nearest: view)"},
    {"x = user_id(n=3)", FR_EINVAL, "user_id takes no arguments"},
    {"x = decayed_count(entity=usr)", FR_EINVAL, "unknown entity \"usr\" (nearest: user)"},
    {"x = decayed_count(half_life=2h)",
     FR_EINVAL,
     "column 29: half_life must be one of the configured user half-lives"},
    {"x = decayed_count(entity=item, half_life=1h)", FR_EINVAL, "configured item half-lives"},
    {"x = decayed_count(half_life=1x)", FR_ESYNTAX, "is no duration"},
    {"x = history(n=0)", FR_ERANGE, "n must be a number from 1 to 200"},
    {"x = history(n=201)", FR_ERANGE, "n must be a number from 1 to 200"},
    {"x = history(n=abc)", FR_ERANGE, "n must be"},
    {"x = context()", FR_EINVAL, "column 5: context needs the argument \"field\""},
    {"x = context(field=our)", FR_EINVAL, "unknown context field \"our\" (nearest: hour)"},
    {"x = ratio(over=click)", FR_EINVAL, "ratio needs the argument \"of\""},
    {"x = ratio(over=click, of=shown, prior=2)", FR_ERANGE, "prior must be"},
    {"x = source_rank(source=indx)",
     FR_EINVAL,
     "unknown candidate source \"indx\" (nearest: index)"},
    {"x = recency(as=buckets)", FR_EINVAL, "unknown cell form \"buckets\" (nearest: bucket)"},
    {"first = recency()", FR_EDUPLICATE, "line 2, column 1: a second feature named \"first\""},
    {"abcdefghijabcdefghijabcdefghijabcdefghijabcdefghij = recency()",
     FR_ERANGE,
     "name longer than"},
};

START_TEST(compile__bad_line__refused_with_place_and_nearest)
{
    struct fr_fault f = {0};
    ck_assert_int_eq(compile_line(refused[_i].line, &f), refused[_i].err);
    ck_assert_msg(strstr(f.msg, refused[_i].says) != NULL,
                  "\"%s\": \"%s\" does not say \"%s\"",
                  refused[_i].line,
                  f.msg,
                  refused[_i].says);
    ck_assert_int_eq(f.err, refused[_i].err);
}
END_TEST

static const char *const accepted[] = {
    "  x=decayed_count ( entity = item , types = click | purchase , half_life = 7d , as = number "
    ") ",
    "x = recency()",
    "x = history(n=200, types=positive)",
    "x = attribute(field=tags, n=32)",
    "x = attribute(field=price, as=number)",
    "x = first_seen(entity=item)",
    "x = history_recency(field=age, as=number)",
    "x = seen()",
    "x = context(field=type)",
};

START_TEST(compile__good_line__accepted)
{
    struct fr_fault f = {0};
    enum fr_err e = compile_line(accepted[_i], &f);
    ck_assert_msg(e == FR_OK, "%s: %s", accepted[_i], f.msg);
}
END_TEST

START_TEST(duration__units__ms)
{
    int64_t ms = -1;
    ck_assert_int_eq(fr_duration_parse(FR_STR_LIT("1500"), &ms), FR_OK);
    ck_assert_int_eq(ms, 1500);
    ck_assert_int_eq(fr_duration_parse(FR_STR_LIT("1500ms"), &ms), FR_OK);
    ck_assert_int_eq(ms, 1500);
    ck_assert_int_eq(fr_duration_parse(FR_STR_LIT("90s"), &ms), FR_OK);
    ck_assert_int_eq(ms, 90000);
    ck_assert_int_eq(fr_duration_parse(FR_STR_LIT("5m"), &ms), FR_OK);
    ck_assert_int_eq(ms, 300000);
    ck_assert_int_eq(fr_duration_parse(FR_STR_LIT("7d"), &ms), FR_OK);
    ck_assert_int_eq(ms, 604800000);
    ms = 42;
    ck_assert_int_eq(fr_duration_parse(FR_STR_LIT(""), &ms), FR_ESYNTAX);
    ck_assert_int_eq(fr_duration_parse(FR_STR_LIT("h"), &ms), FR_ESYNTAX);
    ck_assert_int_eq(fr_duration_parse(FR_STR_LIT("1 h"), &ms), FR_ESYNTAX);
    ck_assert_int_eq(fr_duration_parse(FR_STR_LIT("-1h"), &ms), FR_ESYNTAX);
    ck_assert_int_eq(fr_duration_parse(FR_STR_LIT("999999999999d"), &ms), FR_ERANGE);
    ck_assert_int_eq(ms, 42);
}
END_TEST

/* Each setting that changes what a cell means changes the hash; the others do not. */
static void edit_secret(struct fr_spec_input *in)
{
    in->hash_secret = FR_STR_LIT("other");
}
static void edit_half_life(struct fr_spec_input *in)
{
    static const struct fr_str line[] = {{"x = recency()", 13}};
    in->user_half_life_ms[0] = 7200000;
    in->features = line;
    in->n_features = 1;
}
static void edit_half_life_not(struct fr_spec_input *in)
{
    edit_half_life(in);
    in->user_half_life_ms[0] = 3600000;
}
static void edit_tick(struct fr_spec_input *in)
{
    in->item_tick_ms = 1000;
}
static void edit_fewer(struct fr_spec_input *in)
{
    in->n_features--;
}
static void edit_harmless(struct fr_spec_input *in)
{
    in->ttl_ms = 0;
    in->dedup_window = 3;
    in->min_interval_ms = 77;
    in->max_future_ms = 1;
}

static uint64_t hash_of(void (*edit)(struct fr_spec_input *))
{
    struct fr_spec *s = feat_spec(edit);
    uint64_t h = s->fields.hash;
    fr_spec_free(s);
    return h;
}

START_TEST(hash__meaning_changes__hash_changes)
{
    uint64_t base = hash_of(NULL);
    ck_assert_uint_eq(base, hash_of(NULL));
    ck_assert_uint_eq(base, hash_of(edit_harmless));
    ck_assert_uint_ne(base, hash_of(edit_secret));
    ck_assert_uint_ne(base, hash_of(edit_tick));
    ck_assert_uint_ne(base, hash_of(edit_fewer));
    ck_assert_uint_ne(hash_of(edit_half_life), hash_of(edit_half_life_not));
}
END_TEST

static void bad_types(struct fr_spec_input *in)
{
    static const struct fr_type_input t[] = {{.name = {"a", 1}}, {.name = {"a", 1}}};
    in->types = t;
    in->n_types = 2;
}
static void bad_type_name(struct fr_spec_input *in)
{
    static const struct fr_type_input t[] = {{.name = {"any", 3}}};
    in->types = t;
    in->n_types = 1;
}
static void bad_no_types(struct fr_spec_input *in)
{
    in->n_types = 0;
}
static void bad_equal(struct fr_spec_input *in)
{
    in->item_half_life_ms[0] = in->item_half_life_ms[1];
}
static void bad_dedup(struct fr_spec_input *in)
{
    in->dedup_window = FR_MAX_DEDUP + 1;
}
static void bad_history(struct fr_spec_input *in)
{
    in->history_length = 0;
}
static void bad_seen(struct fr_spec_input *in)
{
    static const struct fr_str line[] = {{"x = seen()", 10}};
    in->seen_cap = 0;
    in->features = line;
    in->n_features = 1;
}
static void bad_empty(struct fr_spec_input *in)
{
    in->n_features = 0;
}

static const struct {
    void (*edit)(struct fr_spec_input *);
    enum fr_err err;
    const char *says;
} bad_settings[] = {
    {bad_types, FR_EDUPLICATE, "event type \"a\" twice"},
    {bad_type_name, FR_EINVAL, "a name is"},
    {bad_no_types, FR_ERANGE, "event types: 0 given"},
    {bad_equal, FR_EINVAL, "must differ"},
    {bad_dedup, FR_ERANGE, "dedup window is 65, allowed 0 to 64"},
    {bad_history, FR_ERANGE, "history length is 0"},
    {bad_seen, FR_EINVAL, "seen() needs a seen set"},
    {bad_empty, FR_EINVAL, "no feature is declared"},
};

START_TEST(compile__bad_setting__refused)
{
    struct fr_spec_input in;
    struct fr_spec *spec = NULL;
    struct fr_fault f = {0};
    fr_spec_input_default(&in);
    bad_settings[_i].edit(&in);
    ck_assert_int_eq(fr_spec_compile(&in, &spec, &f), bad_settings[_i].err);
    ck_assert_ptr_null(spec);
    ck_assert_msg(strstr(f.msg, bad_settings[_i].says) != NULL, "%s", f.msg);
}
END_TEST

START_TEST(compile__too_many_features__refused)
{
    static char text[FR_MAX_FIELDS + 1][32];
    struct fr_str lines[FR_MAX_FIELDS + 1];
    struct fr_spec_input in;
    struct fr_spec *spec = NULL;
    struct fr_fault f = {0};

    for (int i = 0; i <= FR_MAX_FIELDS; i++) {
        snprintf(text[i], sizeof text[i], "f%d = recency()", i);
        lines[i] = fr_str_z(text[i]);
    }
    fr_spec_input_default(&in);
    in.features = lines;
    in.n_features = FR_MAX_FIELDS + 1;
    ck_assert_int_eq(fr_spec_compile(&in, &spec, &f), FR_EFULL);
    in.n_features = FR_MAX_FIELDS;
    ck_assert_int_eq(fr_spec_compile(&in, &spec, &f), FR_OK);
    fr_spec_free(spec);
}
END_TEST

START_TEST(compile__every_allocation_fails__clean)
{
    struct fr_spec_input in;
    enum fr_err e = FR_ENOMEM;
    int n = 0;

    fr_spec_input_default(&in);
    while (e == FR_ENOMEM) {
        struct fr_spec *spec = NULL;
        fr_alloc_fail_at((uint64_t)++n);
        e = fr_spec_compile(&in, &spec, NULL);
        fr_alloc_fail_at(0);
        ck_assert((spec != NULL) == (e == FR_OK));
        fr_spec_free(spec);
        ck_assert_int_lt(n, 100);
    }
    ck_assert_int_eq(e, FR_OK);
    ck_assert_int_ge(n, 2);
}
END_TEST

START_TEST(positive__weight_and_threshold__as_configured)
{
    static const struct fr_type_input t[] = {
        {.name = {"rating", 6}, .positive = 1, .has_min_value = true, .min_value = 4},
        {.name = {"click", 5}, .positive = 2},
        {.name = {"skip", 4}},
    };
    struct fr_spec_input in;
    struct fr_spec *spec;
    struct fr_event ev = {.type = 0};

    fr_spec_input_default(&in);
    in.types = t;
    in.n_types = 3;
    ck_assert_int_eq(fr_spec_compile(&in, &spec, NULL), FR_OK);
    ck_assert_double_eq(fr_spec_positive(spec, &ev), 0);
    ev.has_value = true;
    ev.value = 3.5;
    ck_assert_double_eq(fr_spec_positive(spec, &ev), 0);
    ev.value = 4;
    ck_assert_double_eq(fr_spec_positive(spec, &ev), 1);
    ev.type = 1;
    ck_assert_double_eq(fr_spec_positive(spec, &ev), 2);
    ev.type = 2;
    ck_assert_double_eq(fr_spec_positive(spec, &ev), 0);
    ev.type = 3;
    ck_assert_double_eq(fr_spec_positive(spec, &ev), 0);
    fr_spec_free(spec);
}
END_TEST

START_TEST(line__parts_and_columns__as_written)
{
    struct fr_line l;
    ck_assert_int_eq(fr_line_parse(FR_STR_LIT("ab = kind(x=1, yy = a|b )"), 1, &l, NULL), FR_OK);
    ck_assert(fr_str_eqz(l.name, "ab"));
    ck_assert(fr_str_eqz(l.kind, "kind"));
    ck_assert_int_eq(l.kind_col, 6);
    ck_assert_int_eq(l.n_args, 2);
    ck_assert(fr_str_eqz(l.arg[1].name, "yy"));
    ck_assert(fr_str_eqz(l.arg[1].value, "a|b"));
    ck_assert_int_eq(l.arg[1].name_col, 16);
    ck_assert_int_eq(l.arg[1].value_col, 21);
    ck_assert_int_eq(
        fr_line_parse(FR_STR_LIT("a = k(a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1)"), 1, &l, NULL),
        FR_EFULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("features/spec");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, compile__defaults__fields_in_declaration_order);
    tcase_add_loop_test(tc,
                        compile__bad_line__refused_with_place_and_nearest,
                        0,
                        sizeof refused / sizeof refused[0]);
    tcase_add_loop_test(tc, compile__good_line__accepted, 0, sizeof accepted / sizeof accepted[0]);
    tcase_add_test(tc, duration__units__ms);
    tcase_add_test(tc, hash__meaning_changes__hash_changes);
    tcase_add_loop_test(
        tc, compile__bad_setting__refused, 0, sizeof bad_settings / sizeof bad_settings[0]);
    tcase_add_test(tc, compile__too_many_features__refused);
    tcase_add_test(tc, compile__every_allocation_fails__clean);
    tcase_add_test(tc, positive__weight_and_threshold__as_configured);
    tcase_add_test(tc, line__parts_and_columns__as_written);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
