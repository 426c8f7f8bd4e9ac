/*
 * daemon/base/field.c - field sets: lookup, names, layout.
 */
#include "daemon/base/field.h"

#include <string.h>

int fr_field_find(const struct fr_field_set *fs, struct fr_str name)
{
    for (int i = 0; i < fs->n; i++)
        if (fr_str_eqz(name, fs->f[i].name))
            return i;
    return -1;
}

const char *fr_entity_name(enum fr_entity e)
{
    static const char *const names[FR_ENTITY_COUNT] = {"user", "context", "item", "cross"};

    return (int)e >= 0 && e < FR_ENTITY_COUNT ? names[e] : "?";
}

const char *fr_field_kind_name(enum fr_field_kind k)
{
    switch (k) {
    case FR_FIELD_ID:
        return "id";
    case FR_FIELD_BUCKET:
        return "bucket";
    case FR_FIELD_NUMERIC:
        return "numeric";
    }
    return "?";
}

enum fr_err fr_field_add(struct fr_field_set *fs,
                         const char *name,
                         enum fr_entity entity,
                         enum fr_field_kind kind,
                         const char *table,
                         uint32_t vocab,
                         uint16_t slots)
{
    struct fr_field *f;
    size_t name_n = strlen(name);
    size_t table_n = table == NULL ? 0 : strlen(table);

    if (name_n == 0 || name_n >= FR_FIELD_NAME || table_n >= FR_FIELD_NAME || slots == 0 ||
        (int)entity < 0 || entity >= FR_ENTITY_COUNT)
        return FR_EINVAL;
    if ((kind == FR_FIELD_BUCKET) != (vocab > 0) || (kind == FR_FIELD_ID) != (table_n > 0))
        return FR_EINVAL;
    if (fr_field_find(fs, fr_str_z(name)) >= 0)
        return FR_EDUPLICATE;
    if (fs->n == FR_MAX_FIELDS || fs->n_cells[entity] + slots > UINT16_MAX)
        return FR_EFULL;
    f = &fs->f[fs->n++];
    memset(f, 0, sizeof(*f));
    memcpy(f->name, name, name_n + 1);
    if (table_n > 0)
        memcpy(f->table, table, table_n + 1);
    f->entity = entity;
    f->kind = kind;
    f->vocab = vocab;
    f->slots = slots;
    f->first = (uint16_t)fs->n_cells[entity];
    fs->n_cells[entity] += slots;
    return FR_OK;
}
