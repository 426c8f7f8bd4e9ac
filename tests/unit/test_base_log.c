/* One line a fact: its form, levels, hostile text, the length limit, the rate limit and what it leaves out. */
#include "daemon/base/log.h"

#include <check.h>
#include <ctype.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/json.h"

static char out[1 << 20];

/* Run f with standard error in a file; what it wrote is in `out`. */
static size_t capture(void (*f)(void))
{
    FILE *tmp = tmpfile();
    int saved = dup(STDERR_FILENO);
    size_t n;
    ck_assert_ptr_nonnull(tmp);
    ck_assert_int_ge(dup2(fileno(tmp), STDERR_FILENO), 0);
    f();
    ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
    (void)close(saved);
    rewind(tmp);
    n = fread(out, 1, sizeof(out) - 1, tmp);
    out[n] = '\0';
    (void)fclose(tmp);
    return n;
}

static int count_lines(void)
{
    int n = 0;
    for (const char *p = out; *p != '\0'; p++)
        n += *p == '\n';
    return n;
}

static void write_one(void)
{
    fr_log(FR_LOG_WARN, "kafka", "partition=%d error=%s", 3, "timed out");
}

START_TEST(line__form__time_level_component_text)
{
    struct tm tm;
    int ms = 0, n = 0;
    time_t now = time(NULL);
    size_t len = capture(write_one);
    memset(&tm, 0, sizeof(tm));
    ck_assert_int_eq(sscanf(out, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                            &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms, &n), 7);
    ck_assert_int_eq(n, 24);
    ck_assert_str_eq(out + n, " warn kafka partition=3 error=timed out\n");
    ck_assert_uint_eq(strlen(out), len);
    struct tm *utc = gmtime(&now);
    ck_assert_int_ge(tm.tm_year * 400 + tm.tm_mon * 31 + tm.tm_mday + 1,
                     (utc->tm_year + 1900) * 400 + (utc->tm_mon + 1) * 31 + utc->tm_mday);
}
END_TEST

static int evaluated;

static int count_evaluation(void)
{
    return ++evaluated;
}

static void write_levels(void)
{
    fr_log(FR_LOG_ERROR, "t", "n=%d", count_evaluation());
    fr_log(FR_LOG_WARN, "t", "n=%d", count_evaluation());
    fr_log(FR_LOG_INFO, "t", "n=%d", count_evaluation());
    fr_log(FR_LOG_DEBUG, "t", "n=%d", count_evaluation());
}

/* Below the level nothing is written and the arguments are not even evaluated. */
START_TEST(level__each__more_important_ones_only)
{
    ck_assert_int_eq(fr_log_level(), FR_LOG_INFO);
    for (int l = 0; l < 4; l++) {
        enum fr_log_level back = FR_LOG_DEBUG;
        const char *const names[] = {"error", "warn", "info", "debug"};
        fr_log_set_level((enum fr_log_level)l);
        ck_assert_int_eq(fr_log_level(), l);
        evaluated = 0;
        capture(write_levels);
        ck_assert_int_eq(evaluated, l + 1);
        ck_assert_int_eq(count_lines(), l + 1);
        ck_assert_int_eq(fr_log_level_parse(names[l], &back), FR_OK);
        ck_assert_int_eq(back, l);
    }
    enum fr_log_level kept = FR_LOG_WARN;
    const char *const bad[] = {"", "Info", "warning", "trace", " info", "info ", "0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(fr_log_level_parse(bad[i], &kept), FR_EINVAL);
    ck_assert_int_eq(kept, FR_LOG_WARN);
}
END_TEST

static const char *text;

static void write_text(void)
{
    fr_log(FR_LOG_ERROR, "t", "x=%s", text);
}

/* Text from outside cannot begin a line of its own, nor speak to a terminal. */
START_TEST(hostile_text__controls__blank)
{
    char all[256];
    size_t n;
    text = "a\n2026-01-01T00:00:00.000Z info serve all=well\r\x1b[2J\x07\x7f\t";
    n = capture(write_text);
    ck_assert_int_eq(count_lines(), 1);
    for (size_t i = 0; i + 1 < n; i++)
        ck_assert_msg(!iscntrl((unsigned char)out[i]), "byte %02x", (unsigned char)out[i]);
    for (int c = 1; c < 256; c++)
        all[c - 1] = (char)c;
    all[255] = '\0';
    text = all;
    n = capture(write_text);
    ck_assert_int_eq(count_lines(), 1);
    ck_assert_int_eq(out[n - 1], '\n');
    for (size_t i = 0; i + 1 < n; i++)
        ck_assert_msg(!iscntrl((unsigned char)out[i]), "byte %02x", (unsigned char)out[i]);
    text = "\xC2\x9B" "31m \xC3\xA4"; /* CSI as a C1 control; a letter stays */
    capture(write_text);
    ck_assert_ptr_null(strstr(out, "\xC2\x9B"));
    ck_assert_ptr_nonnull(strstr(out, "31m \xC3\xA4\n"));
    text = "%s%n%d"; /* not a format */
    capture(write_text);
    ck_assert_ptr_nonnull(strstr(out, "x=%s%n%d\n"));
}
END_TEST

/* Too long: one line of at most 1024 bytes, cut at a character. */
START_TEST(long_text__any_phase__one_line_cut_at_a_character)
{
    for (int shift = 0; shift < 5; shift++) {
        static char big[9000];
        size_t n = (size_t)shift;
        memset(big, 'x', n);
        for (; n + 4 < sizeof(big); n += 3)
            memcpy(big + n, "\xE2\x82\xAC", 3);
        big[n] = '\0';
        text = big;
        n = capture(write_text);
        ck_assert_uint_le(n, 1024);
        ck_assert_uint_ge(n, 990);
        ck_assert_int_eq(count_lines(), 1);
        ck_assert_int_eq(out[n - 1], '\n');
        ck_assert(fr_utf8_valid((struct fr_str){out, n}));
    }
}
END_TEST

static struct fr_log_site site;
static int times;

static void write_many(void)
{
    for (int i = 0; i < times; i++)
        fr_log_write(&site, FR_LOG_ERROR, "t", "i=%d %s", i, text);
}

/* Wait until the second has just begun, so that what follows stays within it. */
static void start_of_a_second(void)
{
    struct timespec ts, nap = {0, 1000000};
    do {
        ck_assert_int_eq(clock_gettime(CLOCK_REALTIME, &ts), 0);
        if (ts.tv_nsec > 300000000)
            ck_assert_int_eq(nanosleep(&nap, NULL), 0);
    } while (ts.tv_nsec > 300000000);
}

/* Ten a second of one place; the next line of a later second says how many were left out, even if the
 * line is so long that it is cut. */
START_TEST(rate__many_in_a_second__ten_then_the_number_left_out)
{
    static char big[3000];
    const char *p;
    memset(big, 'x', sizeof(big) - 1);
    text = "";
    start_of_a_second();
    memset(&site, 0, sizeof(site));
    times = 1000;
    capture(write_many);
    ck_assert_int_eq(count_lines(), 10);
    ck_assert_ptr_nonnull(strstr(out, "i=9 "));
    ck_assert_ptr_null(strstr(out, "left_out"));
    atomic_store(&site.window_s, 1); /* as if a second had passed */
    text = big;
    times = 1;
    capture(write_many);
    ck_assert_int_eq(count_lines(), 1);
    p = strstr(out, " left_out=");
    ck_assert_ptr_nonnull(p);
    ck_assert_str_eq(p, " left_out=990\n");
    atomic_store(&site.window_s, 1);
    capture(write_many);
    ck_assert_ptr_null(strstr(out, "left_out")); /* said once */
}
END_TEST

static void *many(void *arg)
{
    for (int i = 0; i < 2000; i++)
        fr_log_write(&site, FR_LOG_ERROR, "thread", "who=%s i=%d", (const char *)arg, i);
    return NULL;
}

static void write_from_threads(void)
{
    pthread_t t[4];
    static char name[4][2] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, many, name[i]), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
}

/* Whole lines from several threads; written and left out make up what was said. */
START_TEST(threads__one_site__whole_lines_and_nothing_uncounted)
{
    memset(&site, 0, sizeof(site));
    capture(write_from_threads);
    int lines = count_lines();
    unsigned said = (unsigned)lines + atomic_load(&site.dropped);
    for (const char *p = out; *p != '\0'; p = strchr(p, '\n') + 1) {
        const char *end = strchr(p, '\n'), *left = strstr(p, " left_out=");
        ck_assert_ptr_nonnull(end);
        ck_assert_int_eq(strncmp(p + 24, " error thread who=", 18), 0);
        if (left != NULL && left < end)
            said += (unsigned)strtoul(left + 10, NULL, 10);
    }
    ck_assert_int_ge(lines, 10);
    ck_assert_uint_eq(said, 8000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/log");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, line__form__time_level_component_text);
    tcase_add_test(tc, level__each__more_important_ones_only);
    tcase_add_test(tc, hostile_text__controls__blank);
    tcase_add_test(tc, long_text__any_phase__one_line_cut_at_a_character);
    tcase_add_test(tc, rate__many_in_a_second__ten_then_the_number_left_out);
    tcase_add_test(tc, threads__one_site__whole_lines_and_nothing_uncounted);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
