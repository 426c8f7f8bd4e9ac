/* Fuzz target: a bundle's manifest, under given fields and under its own. An accepted one names a plain weights file
 * and has self-tests; its own fields lie inside their rows. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_fields(struct fr_field_set *fs)
{
    if (fr_field_add(fs, "hist", FR_ENTITY_USER, FR_FIELD_ID, "item", 0, 2) != FR_OK ||
        fr_field_add(fs, "hour", FR_ENTITY_CONTEXT, FR_FIELD_BUCKET, NULL, 25, 1) != FR_OK ||
        fr_field_add(fs, "i_id", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1) != FR_OK ||
        fr_field_add(fs, "x", FR_ENTITY_CROSS, FR_FIELD_NUMERIC, NULL, 0, 1) != FR_OK)
        abort();
    fs->hash = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fr_field_set fs, own;
    struct fr_bundle *b = fr_calloc(1, sizeof(*b));
    struct fr_bundle_weights w = {0};
    struct fr_fault fault = {0}, why = {0};

    if (fs.n == 0)
        make_fields(&fs);
    if (b == NULL || fr_arena_new(1 << 16, 64u << 20, &b->ar) != FR_OK)
        abort();
    b->manifest_text = fr_malloc_array(size + 1, 1);
    if (b->manifest_text == NULL)
        abort();
    memcpy(b->manifest_text, data, size);
    struct fr_str text = {b->manifest_text, size};
    if (fr_bundle_parse_manifest(b, text, &fs, &w, &fault) == FR_OK) {
        if (strchr(w.file, '/') != NULL || w.file[0] == '\0' || w.file[0] == '.' ||
            b->n_cases < 1 || b->enc == NULL)
            abort();
    } else if (fault.err == FR_OK || fault.msg[0] == '\0') {
        abort(); /* a refusal without a reason */
    }
    if (fr_bundle_fields_parse(text, &own, &why) == FR_OK) {
        for (int i = 0; i < own.n; i++)
            if (own.f[i].slots == 0 || (uint32_t)own.f[i].first + own.f[i].slots > own.n_cells[own.f[i].entity])
                abort();
    } else if (why.err == FR_OK || why.msg[0] == '\0') {
        abort();
    }
    fr_bundle_free(b);
    return 0;
}
