/*
 * daemon/stream/example_codec.c - see example_codec.h.
 */
#include "daemon/stream/example_codec.h"

#include <stdio.h>
#include <string.h>

static void put_hex(struct fr_jsonw *w, uint64_t id)
{
    char hex[17];
    int n = snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)id);

    fr_jsonw_str(w, (struct fr_str){hex, n < 0 ? 0 : (size_t)n});
}

static void put_field(struct fr_jsonw *w, const struct fr_field *f, const struct fr_cell *cells)
{
    fr_jsonw_key(w, f->name);
    if (f->kind == FR_FIELD_NUMERIC && f->slots == 1) {
        fr_jsonw_f32(w, cells[0].x);
        return;
    }
    fr_jsonw_array(w);
    for (uint16_t i = 0; i < f->slots; i++) {
        const struct fr_cell *c = &cells[i];
        bool unused = f->kind == FR_FIELD_ID ? c->id == 0
                      : c->x < 0 || c->x > 0 ? false
                                             : c->id == 0;
        if (unused)
            continue;
        if (f->kind == FR_FIELD_ID)
            put_hex(w, c->id);
        else if (f->kind == FR_FIELD_BUCKET)
            fr_jsonw_u64(w, c->id);
        fr_jsonw_f32(w, c->x);
    }
    fr_jsonw_end(w, ']');
}

static void put_group(struct fr_jsonw *w,
                      const char *key,
                      const struct fr_field_set *fs,
                      enum fr_entity e,
                      const struct fr_cell *cells)
{
    fr_jsonw_key(w, key);
    fr_jsonw_object(w);
    for (int i = 0; i < fs->n; i++)
        if (fs->f[i].entity == e)
            put_field(w, &fs->f[i], cells + fs->f[i].first);
    fr_jsonw_end(w, '}');
}

static void put_rows(struct fr_jsonw *w, const struct fr_example *ex)
{
    const struct fr_field_set *fs = ex->fields;

    fr_jsonw_key(w, "rows");
    fr_jsonw_array(w);
    for (uint32_t i = 0; i < ex->rec->n_items; i++) {
        uint32_t row;
        memcpy(&row, (const char *)ex->row + i * ex->row_stride, sizeof(row));
        fr_jsonw_object(w);
        fr_jsonw_key(w, "item_id");
        fr_jsonw_str(w, ex->rec->items[i].item_id);
        fr_jsonw_key(w, "position");
        fr_jsonw_u64(w, i);
        fr_jsonw_key(w, "propensity");
        fr_jsonw_f64(w, ex->rec->items[i].propensity);
        put_group(w,
                  "item",
                  fs,
                  FR_ENTITY_ITEM,
                  ex->item_cells + (size_t)row * fs->n_cells[FR_ENTITY_ITEM]);
        put_group(w,
                  "cross",
                  fs,
                  FR_ENTITY_CROSS,
                  ex->cross_cells + (size_t)row * fs->n_cells[FR_ENTITY_CROSS]);
        fr_jsonw_end(w, '}');
    }
    fr_jsonw_end(w, ']');
}

void fr_example_encode(const struct fr_example *ex, struct fr_buf *out)
{
    struct fr_jsonw w;

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    fr_jsonw_key(&w, "schema");
    fr_jsonw_z(&w, FR_EXAMPLE_SCHEMA);
    fr_jsonw_key(&w, "rec_id");
    fr_jsonw_z(&w, ex->rec->rec_id);
    fr_jsonw_key(&w, "user_id");
    fr_jsonw_str(&w, ex->rec->user_id);
    fr_jsonw_key(&w, "schema_hash");
    put_hex(&w, ex->fields->hash);
    fr_jsonw_key(&w, "item_generation");
    fr_jsonw_u64(&w, ex->rec->item_generation);
    fr_jsonw_key(&w, "ts");
    fr_jsonw_i64(&w, ex->rec->ts_event);
    put_group(&w, "user", ex->fields, FR_ENTITY_USER, ex->user_cells);
    put_group(&w, "context", ex->fields, FR_ENTITY_CONTEXT, ex->context_cells);
    put_rows(&w, ex);
    fr_jsonw_key(&w, "label");
    fr_jsonw_null(&w);
    fr_jsonw_end(&w, '}');
}
