/*
 * daemon/cli/shop_wire.c - see shop_wire.h.
 */
#include "daemon/cli/shop_wire.h"

#include "daemon/base/json.h"

static void put_z(struct fr_jsonw *w, const char *key, const char *z)
{
    fr_jsonw_key(w, key);
    fr_jsonw_z(w, z);
}

static void put_user(struct fr_jsonw *w, uint32_t user)
{
    char id[FR_SHOP_NAME];

    fr_shop_user_id(user, id);
    put_z(w, "user_id", id);
}

static void put_item(struct fr_jsonw *w, uint32_t item)
{
    char id[FR_SHOP_NAME];

    fr_shop_item_id(item, id);
    put_z(w, "item_id", id);
}

static void put_i64(struct fr_jsonw *w, const char *key, int64_t v)
{
    fr_jsonw_key(w, key);
    fr_jsonw_i64(w, v);
}

static void put_rec(struct fr_jsonw *w, struct fr_str rec_id)
{
    if (rec_id.n == 0)
        return;
    fr_jsonw_key(w, "rec_id");
    fr_jsonw_str(w, rec_id);
}

void fr_shop_event_json(const struct fr_shop_event *ev, struct fr_buf *out)
{
    struct fr_jsonw w;

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    put_z(&w, "event_id", ev->event_id);
    put_z(&w, "type", ev->type);
    put_user(&w, ev->user);
    put_item(&w, ev->item);
    put_i64(&w, "ts", ev->ts_ms);
    if (ev->value >= 0) {
        fr_jsonw_key(&w, "value");
        fr_jsonw_f64(&w, ev->value);
    }
    put_rec(&w, ev->rec_id);
    if (ev->position >= 0)
        put_i64(&w, "position", ev->position);
    fr_jsonw_end(&w, '}');
}

int fr_shop_impressions_json(const char *event_id,
                             uint32_t user,
                             const uint32_t *list,
                             int n,
                             int64_t ts_ms,
                             struct fr_str rec_id,
                             struct fr_buf *out)
{
    struct fr_jsonw w;
    int known = 0;

    for (int i = 0; i < n; i++)
        known += list[i] != FR_SHOP_ITEM_NONE;
    if (known == 0)
        return 0;
    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    put_z(&w, "event_id", event_id);
    put_z(&w, "type", "impressions");
    put_user(&w, user);
    put_i64(&w, "ts", ts_ms);
    put_rec(&w, rec_id);
    fr_jsonw_key(&w, "items");
    fr_jsonw_array(&w);
    for (int i = 0; i < n; i++) {
        if (list[i] == FR_SHOP_ITEM_NONE)
            continue;
        fr_jsonw_object(&w);
        put_item(&w, list[i]);
        put_i64(&w, "position", i);
        fr_jsonw_end(&w, '}');
    }
    fr_jsonw_end(&w, ']');
    fr_jsonw_end(&w, '}');
    return known;
}

void fr_shop_item_json(const struct fr_shop *sh, uint32_t item, int64_t shift_ms, struct fr_buf *out)
{
    struct fr_shop_item it;
    struct fr_jsonw w;

    if (!fr_shop_item(sh, item, &it))
        return;
    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    put_item(&w, item);
    put_z(&w, "title", it.title);
    fr_jsonw_key(&w, "categories");
    fr_jsonw_array(&w);
    fr_jsonw_z(&w, it.category);
    fr_jsonw_end(&w, ']');
    put_z(&w, "brand", it.brand);
    fr_jsonw_key(&w, "price");
    fr_jsonw_f64(&w, it.price);
    put_i64(&w, "created_ts", it.born_ms + shift_ms);
    if (it.died_ms != 0) {
        fr_jsonw_key(&w, "available");
        fr_jsonw_bool(&w, false);
    }
    fr_jsonw_end(&w, '}');
}
