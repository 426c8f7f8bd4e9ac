/*
 * tests/fuzz/fuzz_spec.c - feature declarations as hostile text, one a line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "features/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_str lines[64];
    struct fr_spec_input in;
    struct fr_spec *spec = NULL;
    struct fr_fault f = {0};
    const char *p = (const char *)data;
    int n = 0;

    fr_spec_input_default(&in);
    while (size > 0 && n < 64) {
        const char *end = memchr(p, '\n', size);
        size_t len = end == NULL ? size : (size_t)(end - p);
        lines[n++] = (struct fr_str){p, len};
        size_t skip = end == NULL ? len : len + 1;
        p += skip;
        size -= skip;
    }
    in.features = lines;
    in.n_features = n;
    enum fr_err e = fr_spec_compile(&in, &spec, &f);
    if ((e == FR_OK) != (spec != NULL) || (e != FR_OK && f.msg[0] == '\0'))
        abort();
    if (spec != NULL && spec->fields.n != n)
        abort();
    fr_spec_free(spec);
    return 0;
}
