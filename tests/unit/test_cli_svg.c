/* The picture writer and names for display: well-formed whatever the text, nothing that is not finite,
 * nothing loaded, hostile characters gone. The reader is first shown broken XML. */
#include "daemon/cli/svg.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/json.h"
#include "daemon/base/rng.h"
#include "daemon/cli/label.h"
#include "tests/support/xml_check.h"

static struct fr_buf b;
static char why[160];

static void setup(void)
{
    fr_buf_init(&b);
}

static void teardown(void)
{
    fr_buf_done(&b);
}

static const char *text(void)
{
    fr_buf_putc(&b, '\0');
    ck_assert_int_eq(b.err, FR_OK);
    b.n--;
    return b.p;
}

START_TEST(reader__broken_xml__found)
{
    static const char *const broken[] = {"<a>", "<a></b>", "<a/><b/>", "<a x=\"1\" x=\"2\"/>", "<a x=1/>", "<a>&</a>",
                                         "<a>&nbsp;</a>", "<a>\x01</a>", "<a>\xff</a>", "<a x=\"<\"/>", "x<a/>",
                                         "<a>\xed\xa0\x80</a>", "<a>\xef\xbf\xbf</a>", "<a", "", "<a>></a>", "<a x=\"1\"y=\"2\"/>"};

    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        ck_assert_msg(!xml_well_formed(broken[i], strlen(broken[i]), why), "%s", broken[i]);
    ck_assert(xml_well_formed("<a x=\"&#39;\"><b/>t&lt;\xe2\x80\xa6</a>\n", 29, why));
}
END_TEST

START_TEST(escape__markup__entities)
{
    fr_svg_escape(&b, FR_STR_LIT("</text><script>\"&'\xc3\xa9\xf0\x9f\x98\x80"));
    ck_assert_str_eq(text(), "&lt;/text&gt;&lt;script&gt;&quot;&amp;&#39;\xc3\xa9\xf0\x9f\x98\x80");
}
END_TEST

START_TEST(escape__what_xml_may_not_hold__replaced)
{
    fr_svg_escape(&b, (struct fr_str){"a\0b\x1b[2J\xff\xc0\xaf\xef\xbf\xbf\xed\xa0\x80\xe2\x80\xae", 19});
    ck_assert_ptr_null(strchr(text(), '\x1b'));
    ck_assert(fr_utf8_valid(fr_buf_str(&b)));
    ck_assert_uint_eq(xml_count(b.p, "\xef\xbf\xbd"), 10); /* NUL, ESC, ff, c0, af, U+FFFF, three bytes of a surrogate, RLO */
}
END_TEST

/* Random bytes as title and text. */
START_TEST(picture__random_text__well_formed)
{
    struct fr_rng rng;

    fr_rng_seed(&rng, 7);
    for (int round = 0; round < 2000; round++) {
        char raw[40];
        struct fr_str s = {raw, (size_t)fr_rng_below(&rng, sizeof(raw))};

        for (size_t i = 0; i < s.n; i++)
            raw[i] = fr_rng_below(&rng, 4) == 0 ? "<>&\"'\0\x1b\n"[fr_rng_below(&rng, 8)] : (char)fr_rng_u64(&rng);
        fr_buf_clear(&b);
        fr_svg_begin(&b, 100, 50, s);
        fr_svg_text(&b, 1, 2, 12, round % 2 == 0, (enum fr_svg_anchor)(round % 3), FR_SVG_TEXT, s);
        fr_svg_end(&b);
        ck_assert_int_eq(b.err, FR_OK);
        ck_assert_msg(xml_well_formed(b.p, b.n, why), "%s", why);
    }
}
END_TEST

START_TEST(shapes__not_finite__left_out)
{
    const double bad[] = {NAN, INFINITY, -INFINITY};
    const double gap[] = {1, 1, 2, 2, NAN, 3, 4, 4, 5, 5}, none[] = {NAN, 1, 2, INFINITY};

    for (int i = 0; i < 3; i++) {
        fr_svg_line(&b, bad[i], 1, 2, 3, 1, FR_SVG_MAIN, FR_SVG_SOLID);
        fr_svg_line(&b, 1, 2, 3, bad[i], 1, FR_SVG_MAIN, FR_SVG_DASHED);
        fr_svg_dot(&b, bad[i], 1, 2, FR_SVG_MAIN, false);
        fr_svg_dot(&b, 1, 1, bad[i], FR_SVG_MAIN, true);
        fr_svg_text(&b, 1, bad[i], 12, false, FR_SVG_START, FR_SVG_TEXT, FR_STR_LIT("x"));
    }
    fr_svg_path(&b, none, 2, 1, FR_SVG_MAIN, FR_SVG_SOLID);
    ck_assert_uint_eq(b.n, 0);
    fr_svg_path(&b, gap, 5, 1, FR_SVG_MAIN, FR_SVG_SOLID);
    ck_assert_ptr_nonnull(strstr(text(), "d=\"M1.00 1.00 L2.00 2.00 M4.00 4.00 L5.00 5.00\""));
}
END_TEST

/* Readable where dark is asked for, and where no style sheet is read: both colours of every ink are there. */
START_TEST(begin__background_painted_nothing_loaded)
{
    fr_svg_begin(&b, 640, 480, FR_STR_LIT("t"));
    fr_svg_end(&b);
    ck_assert_ptr_nonnull(strstr(text(), "viewBox=\"0 0 640 480\""));
    ck_assert_ptr_nonnull(strstr(b.p, "<rect class=\"f0\" width=\"640\" height=\"480\" fill=\"#ffffff\"/>"));
    ck_assert_uint_eq(xml_count(b.p, "stroke: #"), FR_SVG_INKS);
    ck_assert_uint_eq(xml_count(b.p, "http"), 1); /* the name space */
    ck_assert_ptr_null(strstr(b.p, "url("));
    ck_assert_ptr_null(strstr(b.p, "href"));
    ck_assert_ptr_null(strstr(b.p, "@import"));
}
END_TEST

static const char *clean(const char *p, size_t n, size_t columns)
{
    fr_buf_clear(&b);
    fr_label_clean(&b, (struct fr_str){p, n}, columns);
    return text();
}

START_TEST(label__long_names__the_middle_goes)
{
    static const char mixed[] = "a\xe6\xb7\xb1\xe5\xba\xa6\xe5\xad\xa6\xe4\xb9\xa0xyz\xf0\x9f\x98\x80\xf0\x9f\x98\x80q";

    ck_assert_str_eq(clean("abcdefgh", 8, 8), "abcdefgh");
    ck_assert_str_eq(clean("abcdefghi", 9, 8), "abc\xe2\x80\xa6"
                                               "fghi");
    ck_assert_str_eq(clean("abc", 3, 1), "\xe2\x80\xa6");
    ck_assert_str_eq(clean("abc", 3, 0), "");
    ck_assert_str_eq(clean("", 0, 5), "");
    for (size_t columns = 1; columns < 30; columns++) { /* wide characters: never too wide */
        const char *s = clean(mixed, strlen(mixed), columns);
        ck_assert_uint_le(fr_label_columns(fr_str_z(s)), columns);
        ck_assert(fr_utf8_valid(fr_str_z(s)));
    }
    ck_assert_uint_eq(fr_label_columns(FR_STR_LIT("a\xe6\xb7\xb1")), 3);
}
END_TEST

START_TEST(label__escapes_and_directions__made_harmless)
{
    ck_assert_str_eq(clean("a\x1b[31mb", 7, 40), "a\xef\xbf\xbd[31mb");
    ck_assert_str_eq(clean("\xe2\x80\xaegpj", 6, 40), "\xef\xbf\xbdgpj");
    ck_assert_str_eq(clean("\xc2\x9b", 2, 40), "\xef\xbf\xbd"); /* C1: CSI in one character */
    ck_assert_str_eq(clean("\r\n\x7f", 3, 40), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cli/svg");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, reader__broken_xml__found);
    tcase_add_test(tc, escape__markup__entities);
    tcase_add_test(tc, escape__what_xml_may_not_hold__replaced);
    tcase_add_test(tc, picture__random_text__well_formed);
    tcase_add_test(tc, shapes__not_finite__left_out);
    tcase_add_test(tc, begin__background_painted_nothing_loaded);
    tcase_add_test(tc, label__long_names__the_middle_goes);
    tcase_add_test(tc, label__escapes_and_directions__made_harmless);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
