/*
 * tests/unit/test_cli_import.c - delimited texts, times, mappings, and small data sets read through them.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base/alloc.h"
#include "daemon/base/rng.h"
#include "daemon/cli/delimited.h"
#include "daemon/cli/import_map.h"
#include "daemon/cli/import_out.h"
#include "daemon/cli/import_read.h"
#include "daemon/cli/import_time.h"
#include "daemon/cli/stop_signal.h"
#include "tests/support/tmpdir.h"

/* ---- delimited ---- */

/* All records as text: fields in <>, records ended by ';', a fault as its label. */
static const char *cut(struct fr_str text, const char *separator, bool quotes)
{
    static char out[4096];
    struct fr_delimited d;
    size_t n = 0;
    enum fr_err e;

    fr_delimited_init(&d, text, fr_str_z(separator), quotes);
    out[0] = '\0';
    while ((e = fr_delimited_next(&d)) != FR_ENOTFOUND) {
        if (e != FR_OK) {
            n += (size_t)snprintf(out + n, sizeof(out) - n, "%s;", fr_err_label(e));
            continue;
        }
        for (int i = 0; i < d.n_fields; i++)
            n += (size_t)snprintf(out + n, sizeof(out) - n, "<%.*s>", FR_STR_ARG(d.field[i]));
        n += (size_t)snprintf(out + n, sizeof(out) - n, ";");
    }
    fr_delimited_done(&d);
    return out;
}

START_TEST(delimited__records)
{
    static const struct {
        const char *text, *separator;
        bool quotes;
        const char *want;
    } c[] = {
        {"a,b,c\n1,2,3\n", ",", true, "<a><b><c>;<1><2><3>;"},
        {"a,b\r\n1,2\r\n", ",", true, "<a><b>;<1><2>;"},
        {"a,b", ",", true, "<a><b>;"},
        {"", ",", true, ""},
        {"\n\r\n\na\n\n", ",", true, "<a>;"},
        {",\n", ",", true, "<><>;"},
        {"a,,b,\n", ",", true, "<a><><b><>;"},
        {"\"a,b\",c\n", ",", true, "<a,b><c>;"},
        {"\"a\"\"b\",\"\"\n", ",", true, "<a\"b><>;"},
        {"\"two\nlines\",x\nnext\n", ",", true, "<two\nlines><x>;<next>;"},
        {"\"two\r\nlines\"\r\n", ",", true, "<two\r\nlines>;"},
        {"a\"b,c\nok\n", ",", true, "syntax;<ok>;"},
        {"\"a\"b,c\nok\n", ",", true, "syntax;<ok>;"},
        {"\"never closed,c\nok\n", ",", true, "syntax;<ok>;"},
        {"a\"b\"\"\n", ",", false, "<a\"b\"\">;"},
        {"1::2::3\n4::5\n", "::", false, "<1><2><3>;<4><5>;"},
        {"1:2::3\n", "::", false, "<1:2><3>;"},
        {"1:::2\n", "::", false, "<1><:2>;"},
        {"a\tb\n", "\t", false, "<a><b>;"},
        {"a\rb\n", ",", true, "<a\rb>;"},
    };

    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++)
        ck_assert_msg(strcmp(cut(fr_str_z(c[i].text), c[i].separator, c[i].quotes), c[i].want) == 0, "case %zu: %s", i,
                      cut(fr_str_z(c[i].text), c[i].separator, c[i].quotes));
    ck_assert_str_eq(cut((struct fr_str){"a\0b,c\n", 6}, ",", true), "<a><c>;"); /* printed up to the NUL */
}
END_TEST

START_TEST(delimited__limits_and_lines)
{
    size_t n = FR_DELIMITED_RECORD + 100;
    char *big = fr_malloc_array(n, 1), many[2 * FR_DELIMITED_FIELDS + 20];
    struct fr_delimited d;

    ck_assert_ptr_nonnull(big);
    memset(big, 'x', n);
    memcpy(big + n - 4, "\nok\n", 4);
    ck_assert_str_eq(cut((struct fr_str){big, n}, ",", true), "too_large;<ok>;");
    memset(big, '"', 1); /* a quote that never closes swallows no more than a record */
    fr_delimited_init(&d, (struct fr_str){big, n}, FR_STR_LIT(","), true);
    ck_assert_int_eq(fr_delimited_next(&d), FR_ETOOLARGE);
    ck_assert_int_eq(fr_delimited_next(&d), FR_OK);
    ck_assert_uint_eq(d.at, 2);
    fr_delimited_done(&d);
    fr_free(big);
    memset(many, ',', sizeof(many));
    memcpy(many + sizeof(many) - 4, "\nok\n", 4);
    ck_assert_str_eq(cut((struct fr_str){many, sizeof(many)}, ",", true), "too_large;<ok>;");
    fr_delimited_init(&d, FR_STR_LIT("a\n\n\"x\ny\",z\nlast"), FR_STR_LIT(","), true);
    ck_assert(fr_delimited_next(&d) == FR_OK && d.at == 1);
    ck_assert(fr_delimited_next(&d) == FR_OK && d.at == 3);
    ck_assert(fr_delimited_next(&d) == FR_OK && d.at == 5);
    fr_delimited_done(&d);
}
END_TEST

/* Random fields written by the rules of RFC 4180 come back. */
START_TEST(delimited__round_trip)
{
    static const char letters[] = "ab,\"\n\r x";
    struct fr_rng rng;

    fr_rng_seed(&rng, 11);
    for (int round = 0; round < 3000; round++) {
        char text[2000], want[8][16];
        size_t len[8], n = 0;
        int fields = 1 + (int)fr_rng_below(&rng, 8);
        struct fr_delimited d;
        for (int i = 0; i < fields; i++) {
            len[i] = (size_t)fr_rng_below(&rng, 16);
            text[n++] = '"';
            for (size_t k = 0; k < len[i]; k++) {
                want[i][k] = letters[fr_rng_below(&rng, sizeof(letters) - 1)];
                if (want[i][k] == '"')
                    text[n++] = '"';
                text[n++] = want[i][k];
            }
            text[n++] = '"';
            text[n++] = i + 1 < fields ? ',' : '\n';
        }
        fr_delimited_init(&d, (struct fr_str){text, n}, FR_STR_LIT(","), true);
        ck_assert_int_eq(fr_delimited_next(&d), FR_OK);
        ck_assert_int_eq(d.n_fields, fields);
        for (int i = 0; i < fields; i++) {
            ck_assert_uint_eq(d.field[i].n, len[i]);
            ck_assert(len[i] == 0 || memcmp(d.field[i].p, want[i], len[i]) == 0);
        }
        ck_assert_int_eq(fr_delimited_next(&d), FR_ENOTFOUND);
        fr_delimited_done(&d);
    }
}
END_TEST

/* ---- times ---- */

START_TEST(time__formats)
{
    static const struct {
        const char *text, *format;
        enum fr_err err;
        int64_t ms;
    } c[] = {
        {"0", "seconds", FR_OK, 0},
        {"978300760", "seconds", FR_OK, INT64_C(978300760000)},
        {"1.5", "seconds", FR_OK, 1500},
        {"1790000000123", "milliseconds", FR_OK, INT64_C(1790000000123)},
        {"-1", "seconds", FR_ERANGE, 0},
        {"1e300", "seconds", FR_ERANGE, 0},
        {"9007199254740992", "milliseconds", FR_ERANGE, 0},
        {"nan", "seconds", FR_ESYNTAX, 0},
        {"", "seconds", FR_ESYNTAX, 0},
        {"12 ", "seconds", FR_ESYNTAX, 0},
        {"1970-01-01", "%Y-%m-%d", FR_OK, 0},
        {"2000-02-29 23:59:60", "%Y-%m-%d %H:%M:%S", FR_OK, INT64_C(951868800000)},
        {"2011-12-09T12:50:00Z", "%Y-%m-%dT%H:%M:%SZ", FR_OK, INT64_C(1323435000000)},
        {"1900-02-29", "%Y-%m-%d", FR_ERANGE, 0},
        {"2001-02-29", "%Y-%m-%d", FR_ERANGE, 0},
        {"2001-13-01", "%Y-%m-%d", FR_ERANGE, 0},
        {"2001-00-01", "%Y-%m-%d", FR_ERANGE, 0},
        {"2001-1-1 24:00:00", "%Y-%m-%d %H:%M:%S", FR_ERANGE, 0},
        {"2001-1-1", "%Y-%m-%d", FR_OK, INT64_C(978307200000)},
        {"2001-01-01x", "%Y-%m-%d", FR_ESYNTAX, 0},
        {"2001-01", "%Y-%m-%d", FR_ESYNTAX, 0},
        {"2014-04-07T10:51:09.277Z", "%Y-%m-%dT%H:%M:%S.%fZ", FR_OK, INT64_C(1396867869277)},
        {"1970-01-01 0:0:1.5", "%Y-%m-%d %H:%M:%S.%f", FR_OK, 1500},
        {"1970-01-01 0:0:1.999999999", "%Y-%m-%d %H:%M:%S.%f", FR_OK, 1999},
        {"1970-01-01 0:0:1.", "%Y-%m-%d %H:%M:%S.%f", FR_ESYNTAX, 0},
        {"1970-01-01 0:0:1.0000000001", "%Y-%m-%d %H:%M:%S.%f", FR_ESYNTAX, 0},
    };

    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        int64_t ms = -1;
        ck_assert_msg(fr_import_time(fr_str_z(c[i].text), c[i].format, &ms) == c[i].err, "case %zu: %s", i, c[i].text);
        if (c[i].err == FR_OK)
            ck_assert_msg(ms == c[i].ms, "%s: %lld", c[i].text, (long long)ms);
    }
    ck_assert(fr_import_time_format_valid("seconds") && fr_import_time_format_valid("%d/%m/%Y %H:%M"));
    ck_assert(!fr_import_time_format_valid("%y-%m") && !fr_import_time_format_valid("%H:%M") &&
              !fr_import_time_format_valid("%Y%") && !fr_import_time_format_valid(""));
}
END_TEST

/* ---- mappings ---- */

#define LEAST "events.file = e.csv\nevents.user = 1\nevents.item = 2\nevents.time = 3\nevents.type = click\n"

START_TEST(map__refusals_name_place_and_key)
{
    static const struct {
        const char *text, *says;
    } c[] = {
        {"", "events.file is needed"},
        {"events.file = a/../b\n", "x.map:1: events.file: a name without folders"},
        {LEAST "events.usr = 1\n", "x.map:6: unknown key \"events.usr\"; did you mean events.user"},
        {LEAST "colour = red\n", "x.map:6: unknown key \"colour\""},
        {LEAST "no equals sign\n", "x.map:6: `key = value`"},
        {"events.user = 0\n", "x.map:1: events.user: columns are numbered"},
        {"events.user = 257\n", "columns are numbered"},
        {"\nevents.user =\n", "x.map:2: events.user: a column's number or name"},
        {LEAST "events.user = 2\n", "x.map:6: events.user: stands twice"},
        {LEAST "events.quotes = no\n\nevents.quotes = no\n", "x.map:8: events.quotes: stands twice"},
        {"events.type = impressions\n", "x.map:1: events.type: impressions cannot"},
        {LEAST "events.rule = 1 == 2 impressions\n", "impressions cannot"},
        {LEAST "events.file = e{n}.csv\n", "{n} or several files"},
        {LEAST "events.time_format = %Y%q\n", "events.time_format"},
        {LEAST "events.header = maybe\n", "yes or no"},
        {LEAST "events.encoding = utf16\n", "utf8 or latin1"},
        {LEAST "events.n = 5-3\n", "events.n: out of range"},
        {LEAST "events.n = x\n", "events.n: a number or A-B"},
        {LEAST "events.time_format = %y\n", "events.time_format"},
        {LEAST "events.day0 = 2014-02-30\n", "events.day0"},
        {LEAST "events.rule = value >= x like\n", "the third word is no number"},
        {LEAST "events.rule = value => 1 like\n", "the second word"},
        {LEAST "events.rule = value >= 1\n", "COLUMN OP OPERAND TYPE"},
        {LEAST "events.rule = value >= 1 like it\n", "COLUMN OP OPERAND TYPE"},
        {LEAST "events.require = 1 2 3 4 5\n", "more than 4"},
        {LEAST "events.order = random\n", "file, time or time_user_item"},
        {LEAST "items.file = i.csv\n", "items.id is needed"},
        {LEAST "items.file = i.csv\nitems.id = 1\nitems.flags = 2-4\nitems.flag_names = a,b\n", "3 columns"},
        {LEAST "items.flag_names = a,,b\n", "names of 1 to 127"},
        {"events.file = e\nevents.user = 1\nevents.item = 2\nevents.type = t\n", "events.time is needed"},
    };
    static struct fr_import_map m;

    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        struct fr_fault fault = {FR_OK, NULL, 0, ""};
        ck_assert_msg(fr_import_map_parse(fr_str_z(c[i].text), "x.map", &m, &fault) != FR_OK, "case %zu", i);
        ck_assert_msg(strstr(fault.msg, c[i].says) != NULL, "case %zu: %s", i, fault.msg);
    }
    ck_assert_int_eq(fr_import_map_parse(fr_str_z(fr_import_map_builtin("yoochoose")), "b", &m, NULL), FR_OK);
    ck_assert_int_eq(fr_import_map_parse(fr_str_z(fr_import_map_builtin("ml-1m")), "b", &m, NULL), FR_OK);
    ck_assert_str_eq(m.events.separator, "::");
    ck_assert_ptr_null(fr_import_map_builtin("other"));
}
END_TEST

/* ---- whole data sets ---- */

static char *dir;

static void write(const char *name, const char *text)
{
    char path[512];

    ck_assert(tmpdir_path(dir, name, path, sizeof(path)));
    ck_assert(tmpdir_write(path, text, strlen(text)));
}

static enum fr_err
read_set(const char *map, bool strict, struct fr_import_rows *rows, struct fr_import_read *r, struct fr_fault *fault)
{
    static struct fr_import_map m;

    *fault = (struct fr_fault){FR_OK, NULL, 0, ""};
    memset(rows, 0, sizeof(*rows));
    ck_assert_msg(fr_import_map_parse(fr_str_z(map), "x.map", &m, fault) == FR_OK, "%s", fault->msg);
    *r = (struct fr_import_read){.map = &m, .dir = dir, .n_from = m.n_from, .n_to = m.n_to, .strict = strict, .quiet = true};
    return fr_import_read(r, rows, fault);
}

static const char *json(const struct fr_import_rows *rows)
{
    static char out[4096];
    struct fr_buf b;

    fr_buf_init(&b);
    for (uint64_t i = 0; i < rows->n_events; i++) {
        fr_import_event_json(rows, &rows->event[i], rows->event[i].ts, &b);
        fr_buf_putc(&b, '\n');
    }
    for (uint64_t i = 0; i < rows->n_items; i++) {
        fr_import_item_json(rows, &rows->item[i], &b);
        fr_buf_putc(&b, '\n');
    }
    ck_assert_uint_lt(b.n, sizeof(out));
    memcpy(out, b.p, b.n);
    out[b.n] = '\0';
    fr_buf_done(&b);
    return out;
}

START_TEST(read__named_columns_rules_order_items)
{
    static const char map[] = "events.file = e.csv\nevents.header = yes\nevents.user = who\nevents.item = what\n"
                              "events.time = when\nevents.value = stars\nevents.type = rating\n"
                              "events.rule = stars < 0 skip\nevents.rule = stars >= 4 like\nevents.require = who\n"
                              "events.order = time_user_item\n"
                              "items.file = i.csv\nitems.separator = \"|\"\nitems.quotes = no\nitems.encoding = latin1\n"
                              "items.id = 1\nitems.title = 2\nitems.price = 3\nitems.brand = 4\n"
                              "items.flags = 5-6\nitems.flag_names = red,blue\n";
    struct fr_import_rows rows;
    struct fr_import_read r;
    struct fr_fault fault;

    write("e.csv", "when,stars,who,what\n5,4,u10,b\n5,2,u9,a\n3,5,10,x\n3,5,9,x\n,3,u,a\n9,3,,a\n9,-1,u,a\n9,abc,u,a\n");
    write("i.csv", "a|Caf\xe9|2.5|B|1|1\nb|||\n|nameless\n");
    ck_assert_int_eq(read_set(map, false, &rows, &r, &fault), FR_OK);
    ck_assert_uint_eq(r.bad, 3);      /* no time, no number, an item without id */
    ck_assert_uint_eq(r.left_out, 2); /* no user, skipped */
    ck_assert_str_eq(json(&rows),
                     "{\"event_id\":\"l5\",\"type\":\"like\",\"user_id\":\"9\",\"item_id\":\"x\",\"ts\":3000,\"value\":5}\n"
                     "{\"event_id\":\"l4\",\"type\":\"like\",\"user_id\":\"10\",\"item_id\":\"x\",\"ts\":3000,\"value\":5}\n"
                     "{\"event_id\":\"l2\",\"type\":\"like\",\"user_id\":\"u10\",\"item_id\":\"b\",\"ts\":5000,\"value\":4}\n"
                     "{\"event_id\":\"l3\",\"type\":\"rating\",\"user_id\":\"u9\",\"item_id\":\"a\",\"ts\":5000,\"value\":2}\n"
                     "{\"item_id\":\"a\",\"title\":\"Caf\xc3\xa9\",\"categories\":[\"red\",\"blue\"],\"brand\":\"B\",\"price\":2.5}\n"
                     "{\"item_id\":\"b\"}\n{\"item_id\":\"x\"}\n");
    fr_import_rows_done(&rows);
    ck_assert_int_eq(read_set(map, true, &rows, &r, &fault), FR_ESCHEMA);
    ck_assert_msg(strstr(fault.msg, "e.csv:6: events.time") != NULL, "%s", fault.msg);
    fr_import_rows_done(&rows);
}
END_TEST

/* Every allocation fails in turn: said so, nothing leaks (address sanitizer), files as they were. */
START_TEST(read__allocations_fail_in_turn)
{
    static const char map[] = "events.file = e.csv\nevents.user = 1\nevents.item = 2\nevents.time = 3\nevents.type = t\n"
                              "items.file = i.csv\nitems.id = 1\nitems.title = 2\n";
    static struct fr_import_map m;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_import_plan plan = {.speed = 1, .quiet = true};
    enum fr_err e = FR_ENOMEM;
    char path[1024];
    size_t size;
    char *was;

    write("e.csv", "u,\"i\"\"\",2\nu,j,1\n");
    write("i.csv", "j,a title\n");
    write("events.jsonl", "as it was");
    ck_assert(tmpdir_path(dir, "events.jsonl", path, sizeof(path)));
    ck_assert_int_eq(fr_import_map_parse(fr_str_z(map), "x", &m, &fault), FR_OK);
    for (uint64_t n = 1; e != FR_OK; n++) {
        struct fr_import_rows rows = {0};
        struct fr_import_read r = {.map = &m, .dir = dir, .quiet = true};
        ck_assert_msg(n < 200, "%s", fault.msg);
        fault = (struct fr_fault){FR_OK, NULL, 0, ""};
        fr_alloc_fail_at(n);
        e = fr_import_read(&r, &rows, &fault);
        plan.n_events = rows.n_events;
        if (e == FR_OK)
            e = fr_import_to_files(&rows, &plan, dir, &fault);
        fr_alloc_fail_at(0);
        fr_import_rows_done(&rows);
        ck_assert(e != FR_OK || n > 8);
        was = tmpdir_read(path, &size);
        ck_assert_ptr_nonnull(was);
        ck_assert_msg(e == FR_OK || (e == FR_ENOMEM && fault.msg[0] != '\0'), "%llu: %s", (unsigned long long)n, fr_err_text(e));
        if (e == FR_OK)
            ck_assert_str_eq(was, "{\"event_id\":\"l2\",\"type\":\"t\",\"user_id\":\"u\",\"item_id\":\"j\",\"ts\":1000}\n"
                                  "{\"event_id\":\"l1\",\"type\":\"t\",\"user_id\":\"u\",\"item_id\":\"i\\\"\",\"ts\":2000}\n");
        else
            ck_assert(strcmp(was, "as it was") == 0 || strncmp(was, "{\"event_id\":\"l2\"", 16) == 0);
        fr_free(was);
    }
}
END_TEST

START_TEST(read__numbered_files_spread_over_days)
{
    static const char map[] = "events.file = p{n}.txt\nevents.n = 0-9\nevents.separator = space\nevents.quotes = no\n"
                              "events.user = 1\nevents.item = 2\nevents.time = spread\nevents.day0 = 1970-01-02\n"
                              "events.type = click\nevents.order = file\n";
    static struct fr_import_map m;
    struct fr_import_rows rows;
    struct fr_import_read r;
    struct fr_fault fault;

    write("p1.txt", "1 a\n2 b\n1 c\n3 d\n");
    write("p2.txt", "9 z\n");
    ck_assert_int_eq(fr_import_map_parse(fr_str_z(map), "x", &m, &fault), FR_OK);
    memset(&rows, 0, sizeof(rows));
    r = (struct fr_import_read){.map = &m, .dir = dir, .n_from = 1, .n_to = 2, .quiet = true};
    ck_assert_int_eq(fr_import_read(&r, &rows, &fault), FR_OK);
    ck_assert_uint_eq(rows.n_events, 5);
    for (int64_t i = 0; i < 4; i++)
        ck_assert_int_eq(rows.event[i].ts, 2 * 86400000 + i * 21600000);
    ck_assert_int_eq(rows.event[4].ts, 3 * 86400000);
    ck_assert(fr_str_eqz(fr_import_rows_str(&rows, rows.event[4].id), "f2-1"));
    fr_import_rows_done(&rows);
    r.n_to = 3;
    memset(&rows, 0, sizeof(rows));
    fault.err = FR_OK;
    ck_assert_int_eq(fr_import_read(&r, &rows, &fault), FR_ENOTFOUND);
    ck_assert(strstr(fault.msg, "p3.txt") != NULL);
    fr_import_rows_done(&rows);
}
END_TEST

/* A byte order mark, several files with their columns elsewhere, types by rule on text, column, constant;
 * short, long and malformed records, NUL and broken UTF-8 are bad records, each by its own. */
START_TEST(read__types_files_and_hostile_records)
{
    static const char map[] = "events.file = a.csv\nevents.file = b.csv\nevents.header = yes\nevents.user = who\n"
                              "events.item = what\nevents.time = when\nevents.order = file\n"
                              "events.rule = action == addtocart cart\nevents.rule = action == \xc3\xa9 skip\n"
                              "events.type_column = action\nevents.type = click\n";
    static const char a[] = "\xef\xbb\xbfwho,what,when,action\r\n1,i,1,view\r\n1,j,2,addtocart\r\n1,k,3,\r\n"
                            "1,k,3\r\n1,k,3,view,\r\n1,\"k\"x,3,view\r\n1,k\x7f,3,view\r\n1,k\0l,3,view\r\n1,k\xff,3,view\r\n"
                            "1,k,3,\xc3\xa9\r\n1,k,3,impressions\r\n1,\"two\nlines\",3,view\r\n1,\"o,\"\"k\"\"\",3,view";
    struct fr_import_rows rows;
    struct fr_import_read r;
    struct fr_fault fault;
    char path[1024];

    ck_assert(tmpdir_path(dir, "a.csv", path, sizeof(path)) && tmpdir_write(path, a, sizeof(a) - 1));
    write("b.csv", "action,when,what,who\nbuy,7,i,2\n");
    ck_assert_int_eq(read_set(map, false, &rows, &r, &fault), FR_OK);
    ck_assert_uint_eq(r.bad, 8);
    ck_assert_uint_eq(r.left_out, 1);
    ck_assert_str_eq(json(&rows),
                     "{\"event_id\":\"f0-2\",\"type\":\"view\",\"user_id\":\"1\",\"item_id\":\"i\",\"ts\":1000}\n"
                     "{\"event_id\":\"f0-3\",\"type\":\"cart\",\"user_id\":\"1\",\"item_id\":\"j\",\"ts\":2000}\n"
                     "{\"event_id\":\"f0-4\",\"type\":\"click\",\"user_id\":\"1\",\"item_id\":\"k\",\"ts\":3000}\n"
                     "{\"event_id\":\"f0-15\",\"type\":\"view\",\"user_id\":\"1\",\"item_id\":\"o,\\\"k\\\"\",\"ts\":3000}\n"
                     "{\"event_id\":\"f1-2\",\"type\":\"buy\",\"user_id\":\"2\",\"item_id\":\"i\",\"ts\":7000}\n"
                     "{\"item_id\":\"i\"}\n{\"item_id\":\"j\"}\n{\"item_id\":\"k\"}\n{\"item_id\":\"o,\\\"k\\\"\"}\n");
    fr_import_rows_done(&rows);
    ck_assert_int_eq(read_set(map, true, &rows, &r, &fault), FR_ESCHEMA);
    ck_assert_msg(strstr(fault.msg, "a.csv:5: record: not as many fields") != NULL, "%s", fault.msg);
    fr_import_rows_done(&rows);
    /* no type at all: a bad record, not an event without one */
    ck_assert_int_eq(read_set("events.file = b.csv\nevents.user = 4\nevents.item = 3\nevents.time = 2\n"
                              "events.rule = 1 == buy purchase\nevents.order = file\n",
                              true, &rows, &r, &fault),
                     FR_ESCHEMA);
    ck_assert_msg(strstr(fault.msg, "b.csv:1: events.type: no rule holds") != NULL, "%s", fault.msg);
    fr_import_rows_done(&rows);
}
END_TEST

START_TEST(read__what_is_not_there)
{
    struct fr_import_rows rows;
    struct fr_import_read r;
    struct fr_fault fault;

    write("e.csv", "a,b,c\n");
    ck_assert_int_eq(read_set("events.file = e.csv\nevents.user = who\nevents.item = b\nevents.time = c\nevents.type = t\n"
                              "events.header = yes\n",
                              false, &rows, &r, &fault),
                     FR_ESCHEMA);
    ck_assert_msg(strstr(fault.msg, "no column \"who\"") != NULL, "%s", fault.msg);
    fr_import_rows_done(&rows);
    ck_assert_int_eq(read_set("events.file = e.csv\nevents.user = who\nevents.item = 2\nevents.time = 3\nevents.type = t\n", false,
                              &rows, &r, &fault),
                     FR_ESCHEMA);
    ck_assert_msg(strstr(fault.msg, "no header") != NULL, "%s", fault.msg);
    fr_import_rows_done(&rows);
}
END_TEST

START_TEST(plan__speed_and_shift)
{
    struct fr_import_rows rows = {0};
    struct fr_import_plan p = {.n_events = 3, .speed = 10, .shift_ms = 7};

    for (int64_t t = 1000; t <= 3000; t += 1000) {
        struct fr_import_event ev = {.ts = t};
        ck_assert_int_eq(fr_import_rows_event(&rows, &ev), FR_OK);
    }
    ck_assert_int_eq(fr_import_time_of(&rows, &p, 0), 1007);
    ck_assert_int_eq(fr_import_time_of(&rows, &p, 1), 1107);
    ck_assert_int_eq(fr_import_time_of(&rows, &p, 2), 1207);
    fr_import_rows_done(&rows);
}
END_TEST

/* A signal before the files are written: they stay as they were. (Check forks: the flag dies with the case.) */
START_TEST(files__stop_leaves_them)
{
    struct fr_import_rows rows = {0};
    struct fr_import_plan plan = {.n_events = 1, .speed = 1, .quiet = true};
    struct fr_import_event ev = {.ts = 1};
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    char path[1024], *was;
    size_t n;

    write("events.jsonl", "as it was");
    ck_assert(tmpdir_path(dir, "events.jsonl", path, sizeof(path)));
    ck_assert_int_eq(fr_import_rows_event(&rows, &ev), FR_OK);
    fr_stop_signal_install(true);
    ck_assert_int_eq(raise(SIGINT), 0);
    ck_assert_int_eq(fr_import_to_files(&rows, &plan, dir, &fault), FR_ECLOSED);
    was = tmpdir_read(path, &n);
    ck_assert_ptr_nonnull(was);
    ck_assert_str_eq(was, "as it was");
    fr_free(was);
    fr_import_rows_done(&rows);
}
END_TEST

static void set_up(void)
{
    dir = tmpdir_make();
    ck_assert_ptr_nonnull(dir);
}

static void tear_down(void)
{
    tmpdir_free(dir);
}

int main(void)
{
    Suite *s = suite_create("cli/import");
    TCase *t = tcase_create("all");
    SRunner *r;
    int failed;

    tcase_set_timeout(t, 30);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, delimited__records);
    tcase_add_test(t, delimited__limits_and_lines);
    tcase_add_test(t, delimited__round_trip);
    tcase_add_test(t, time__formats);
    tcase_add_test(t, map__refusals_name_place_and_key);
    tcase_add_test(t, read__named_columns_rules_order_items);
    tcase_add_test(t, read__allocations_fail_in_turn);
    tcase_add_test(t, read__numbered_files_spread_over_days);
    tcase_add_test(t, read__types_files_and_hostile_records);
    tcase_add_test(t, read__what_is_not_there);
    tcase_add_test(t, plan__speed_and_shift);
    tcase_add_test(t, files__stop_leaves_them);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? 0 : 1;
}
