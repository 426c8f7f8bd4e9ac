/*
 * tests/fuzz/fuzz_config.c - a hostile configuration file: what is taken dumps to a text that loads again
 * and dumps the same; what is refused says why. The first line, if it starts with '#', is tried as --set too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_fault(enum fr_err e, const struct fr_fault *fault)
{
    check(fault->err == e && fault->msg[0] != '\0' && memchr(fault->msg, '\0', sizeof(fault->msg)) != NULL);
}

/* A loaded configuration survives dump and load. */
static void check_dump(const struct fr_config *c)
{
    struct fr_config again;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_buf a, b;

    fr_buf_init(&a);
    fr_buf_init(&b);
    fr_config_dump(c, &a);
    check(fr_buf_err(&a) == FR_OK && fr_config_init(&again, NULL) == FR_OK);
    check(fr_config_load_text(&again, "dump", a.p, a.n, &fault) == FR_OK);
    fr_config_dump(&again, &b);
    check(a.n == b.n && memcmp(a.p, b.p, a.n) == 0);
    fr_config_done(&again);
    fr_buf_clear(&a);
    check(fr_config_diff(c, c, true, &a) == 0 && fr_config_diff(c, c, false, &a) == 0);
    fr_buf_done(&a);
    fr_buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = size == 0 ? NULL : memchr(p, '\n', size);
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_config c;
    char line[512];
    enum fr_err e;

    if (fr_config_init(&c, NULL) != FR_OK)
        abort();
    e = fr_config_load_text(&c, "fuzz.yaml", p, size, &fault);
    if (e != FR_OK) {
        check_fault(e, &fault);
    } else {
        if (fr_config_check(&c, &fault) != FR_OK)
            check(fault.msg[0] != '\0');
        check_dump(&c);
        if (size > 1 && p[0] == '#' && end != NULL && end - p < (long)sizeof(line)) {
            memcpy(line, p + 1, (size_t)(end - p) - 1);
            line[end - p - 1] = '\0';
            e = fr_config_set(&c, line, &fault);
            if (e != FR_OK)
                check_fault(e, &fault);
            else
                check_dump(&c);
        }
    }
    fr_config_done(&c);
    return 0;
}
