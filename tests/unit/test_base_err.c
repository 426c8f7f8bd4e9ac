/* Error codes and the fault record: no drift between the tables, cuts at UTF-8 boundaries. */
#include "daemon/base/err.h"

#include <check.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/json.h"

/* Labels stand in metrics and in dead letters: lower case, distinct, never empty. */
START_TEST(tables__every_code__distinct_names_and_labels)
{
    ck_assert_int_eq(FR_OK, 0);
    for (int i = 0; i < FR_ERR_COUNT; i++) {
        const char *label = fr_err_label((enum fr_err)i);
        ck_assert_int_eq(strncmp(fr_err_name((enum fr_err)i), "FR_", 3), 0);
        ck_assert_uint_gt(strlen(label), 0);
        ck_assert_uint_gt(strlen(fr_err_text((enum fr_err)i)), 0);
        for (const char *p = label; *p != '\0'; p++)
            ck_assert(islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_');
        for (int k = 0; k < i; k++) {
            ck_assert_str_ne(label, fr_err_label((enum fr_err)k));
            ck_assert_str_ne(fr_err_name((enum fr_err)i), fr_err_name((enum fr_err)k));
        }
    }
    ck_assert_str_eq(fr_err_name(FR_EIO), "FR_EIO");
    ck_assert_str_eq(fr_err_label(FR_EMISKEYED), "mis_keyed");
}
END_TEST

START_TEST(tables__unknown_code__says_so)
{
    const enum fr_err odd[] = {(enum fr_err)(-1), FR_ERR_COUNT, (enum fr_err)100000};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        ck_assert_str_eq(fr_err_name(odd[i]), "FR_E?");
        ck_assert_str_eq(fr_err_label(odd[i]), "unknown");
        ck_assert_uint_gt(strlen(fr_err_text(odd[i])), 0);
        ck_assert(!fr_err_retriable(odd[i]));
    }
}
END_TEST

/* What the delivery protocol relies on: services come back, bad input does not turn good. */
START_TEST(retriable__services_yes_input_no)
{
    const enum fr_err yes[] = {FR_ENOMEM, FR_EIO, FR_ETIMEOUT, FR_EAGAIN, FR_EFULL, FR_EKAFKA, FR_EREDIS};
    const enum fr_err no[] = {FR_OK,     FR_EINVAL,  FR_ESYNTAX, FR_ESCHEMA,  FR_EUTF8,
                              FR_EDEPTH, FR_EFENCED, FR_ECLOSED, FR_ECORRUPT, FR_EREFUSED};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        ck_assert(fr_err_retriable(yes[i]));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        ck_assert(!fr_err_retriable(no[i]));
}
END_TEST

START_TEST(fault__set__code_place_and_text)
{
    struct fr_fault f;
    memset(&f, 0, sizeof(f));
    ck_assert_int_eq(fr_fault(&f, FR_EIO, "file %s line %d", "a.yaml", 7), FR_EIO);
    ck_assert_int_eq(f.err, FR_EIO);
    ck_assert_str_eq(f.msg, "file a.yaml line 7");
    ck_assert_ptr_nonnull(strstr(f.src_file, "test_base_err.c"));
    ck_assert_int_gt(f.src_line, 0);
    ck_assert_int_eq(fr_fault(NULL, FR_ENOMEM, "nobody listens to %d", 1), FR_ENOMEM);
}
END_TEST

/* A long message of two-, three- and four-byte characters, cut at each possible phase. */
START_TEST(fault__too_long__cut_at_a_character)
{
    const char *const chars[] = {"x", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x8D\xB5"};
    for (size_t c = 0; c < 4; c++) {
        for (int shift = 0; shift < 8; shift++) {
            char text[1024] = "";
            size_t n = (size_t)shift, w = strlen(chars[c]);
            struct fr_fault f;
            memset(text, '.', n);
            while (n + w < 900) {
                memcpy(text + n, chars[c], w);
                n += w;
            }
            text[n] = '\0';
            (void)fr_fault(&f, FR_EIO, "%s", text);
            ck_assert_uint_lt(strlen(f.msg), FR_FAULT_MSG);
            ck_assert_uint_ge(strlen(f.msg), FR_FAULT_MSG - 9);
            ck_assert(fr_utf8_valid(fr_str_z(f.msg)));
            ck_assert_int_eq(strncmp(f.msg, text, strlen(f.msg)), 0);
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/err");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, tables__every_code__distinct_names_and_labels);
    tcase_add_test(tc, tables__unknown_code__says_so);
    tcase_add_test(tc, retriable__services_yes_input_no);
    tcase_add_test(tc, fault__set__code_place_and_text);
    tcase_add_test(tc, fault__too_long__cut_at_a_character);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
