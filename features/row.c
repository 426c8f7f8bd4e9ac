#include "features/row.h"

#include <string.h>

#include "features/buckets.h"
#include "features/fmath.h"

#define DAY_MS INT64_C(86400000)
#define HOUR_MS INT64_C(3600000)
#define NEVER_S 315360000.0 /* ten years: the NUMERIC form of "never" */
#define HIST_WORDS ((FR_MAX_HISTORY + 63) / 64)

/* ---- forms of a value ---- */

static struct fr_cell count_cell(bool number, double v)
{
    if (number)
        return (struct fr_cell){0, (float)fr_log1p(v)};
    return (struct fr_cell){fr_bucket_count(v), 1};
}

/* since: an event time, known: whether there is one */
static struct fr_cell age_cell(bool number, bool known, int64_t now, int64_t since)
{
    double s = now > since ? (double)(now - since) / 1000.0 : 0;
    if (number)
        return (struct fr_cell){0, (float)fr_log1p(known ? s : NEVER_S)};
    return (struct fr_cell){known ? fr_bucket_age(s) : 0, 1};
}

/* ---- the cut ---- */

static void
history_cells(const struct fr_feature *ft, const struct fr_cut *cut, struct fr_cell *out)
{
    uint32_t n = 0;
    double sum = 0;
    for (uint32_t i = 0; i < cut->n_history && n < ft->n; i++)
        if (ft->types & (1u << cut->history[i].type))
            out[n++].id = cut->history[i].item;
    for (uint32_t k = 1; k <= n; k++)
        sum += 1.0 / k;
    for (uint32_t k = 1; k <= n; k++)
        out[k - 1].x = (float)(1.0 / k / sum);
}

static struct fr_cell context_cell(const struct fr_spec *spec,
                                   const struct fr_feature *ft,
                                   const struct fr_row_context *ctx)
{
    int64_t day = ctx->ts / DAY_MS;
    switch ((enum fr_context_field)ft->what) {
    case FR_CONTEXT_HOUR:
        return (struct fr_cell){(uint64_t)(ctx->ts % DAY_MS / HOUR_MS) + 1, 1};
    case FR_CONTEXT_WEEKDAY: /* 1970-01-01 was a Thursday; Monday is 1 */
        return (struct fr_cell){(uint64_t)((day + 3) % 7) + 1, 1};
    case FR_CONTEXT_TYPE:
        return (struct fr_cell){(uint64_t)(ctx->type + 1), 1};
    case FR_CONTEXT_DEVICE:
        if (ctx->device.n > 0)
            return (struct fr_cell){fr_id_hash(spec->key, ctx->device), 1};
        break;
    }
    return (struct fr_cell){0, 0};
}

static void user_cells(const struct fr_spec *spec,
                       const struct fr_user *u,
                       const struct fr_feature *ft,
                       const struct fr_cut *cut,
                       struct fr_cell *out)
{
    int64_t newest;
    switch (ft->kind) {
    case FR_KIND_USER_ID:
        out[0] = (struct fr_cell){cut->user, 1};
        return;
    case FR_KIND_EVENT_COUNT:
        out[0] = count_cell(ft->number, (double)u->n);
        return;
    case FR_KIND_DECAYED_COUNT:
        out[0] = count_cell(ft->number, fr_user_count(spec, u, ft->types, ft->half_life, cut->ts));
        return;
    case FR_KIND_RECENCY:
        newest = fr_user_newest(spec, u, ft->types);
        out[0] = age_cell(ft->number, newest != 0, cut->ts, newest);
        return;
    case FR_KIND_FIRST_SEEN:
        out[0] = age_cell(ft->number, u->n != 0, cut->ts, u->first_ts);
        return;
    case FR_KIND_HISTORY:
        history_cells(ft, cut, out);
        return;
    default:
        return;
    }
}

static enum fr_err
cut_history(const struct fr_spec *spec, struct fr_user *u, struct fr_arena *ar, struct fr_cut *cut)
{
    cut->history = fr_arena_array(ar, u->h_n, sizeof *cut->history);
    if (cut->history == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 0; i < u->h_n; i++)
        cut->history[i] =
            (struct fr_cut_item){fr_user_history_hash(spec, u, i), u->h[i].ts, u->h[i].type};
    cut->n_history = u->h_n;
    return FR_OK;
}

enum fr_err fr_row_cut(const struct fr_spec *spec,
                       struct fr_user *u,
                       const struct fr_row_context *ctx,
                       struct fr_arena *ar,
                       struct fr_cut **out_cut)
{
    const uint32_t *n_cells = spec->fields.n_cells;
    struct fr_cut *cut = fr_arena_zarray(ar, 1, sizeof *cut);
    struct fr_user none;

    if (fr_user_expired(spec, u, ctx->ts)) {
        memset(&none, 0, sizeof none);
        u = &none;
    }
    if (ctx->ts < 0 || ctx->type >= spec->n_types)
        return FR_EINVAL;
    if (cut == NULL)
        return FR_ENOMEM;
    cut->user = ctx->user;
    cut->ts = ctx->ts;
    cut->offset = ctx->offset;
    cut->n_events = u->n;
    cut->seen = u->seen;
    cut->user_cells = fr_arena_zarray(ar, n_cells[FR_ENTITY_USER], sizeof(struct fr_cell));
    cut->context_cells = fr_arena_zarray(ar, n_cells[FR_ENTITY_CONTEXT], sizeof(struct fr_cell));
    if (cut->user_cells == NULL || cut->context_cells == NULL ||
        cut_history(spec, u, ar, cut) != FR_OK)
        return FR_ENOMEM;
    for (int i = 0; i < spec->n_feat; i++) {
        const struct fr_feature *ft = &spec->feat[i];
        uint16_t first = spec->fields.f[ft->field].first;
        if (ft->entity == FR_ENTITY_USER)
            user_cells(spec, u, ft, cut, cut->user_cells + first);
        else if (ft->entity == FR_ENTITY_CONTEXT)
            cut->context_cells[first] = context_cell(spec, ft, ctx);
    }
    *out_cut = cut;
    return FR_OK;
}

/* ---- item cells ---- */

static struct fr_cell stat_cell(const struct fr_feature *ft,
                                const struct fr_item *it,
                                const struct fr_item_generation *g,
                                uint32_t row,
                                int64_t now)
{
    bool known = row != FR_MAP_NONE;
    double v;
    switch (ft->kind) {
    case FR_KIND_DECAYED_COUNT:
    case FR_KIND_RATIO:
        if (!known)
            return (struct fr_cell){0, ft->number ? 0.0f : 1.0f};
        v = g->value[(size_t)row * (size_t)g->n_columns + (size_t)ft->column];
        if (ft->kind == FR_KIND_DECAYED_COUNT)
            return count_cell(ft->number, v);
        return ft->number ? (struct fr_cell){0, (float)v} : (struct fr_cell){fr_bucket_rate(v), 1};
    case FR_KIND_ITEM_AGE:
        if (it->created_ts > 0)
            return age_cell(ft->number, true, now, it->created_ts);
        return age_cell(ft->number, known, now, known ? g->first_ts[row] : 0);
    default: /* FR_KIND_FIRST_SEEN */
        return age_cell(ft->number, known, now, known ? g->first_ts[row] : 0);
    }
}

void fr_row_item(const struct fr_spec *spec,
                 const struct fr_item_table *t,
                 uint32_t idx,
                 const struct fr_item_generation *g,
                 int64_t now_ms,
                 struct fr_cell *out)
{
    const struct fr_item *it = fr_item_table_get(t, idx);
    size_t bytes = spec->fields.n_cells[FR_ENTITY_ITEM] * sizeof *out;

    if (it == NULL) {
        memset(out, 0, bytes);
        return;
    }
    memcpy(out, it->cells, bytes);
    uint32_t row = fr_item_generation_find(g, it->item);
    for (int i = 0; i < spec->n_feat; i++) {
        const struct fr_feature *ft = &spec->feat[i];
        if (ft->entity == FR_ENTITY_ITEM && !fr_spec_field_static(spec, ft->field))
            out[spec->fields.f[ft->field].first] = stat_cell(ft, it, g, row, now_ms);
    }
}

/* ---- cross cells ----
 *
 * by_item:      item hash -> its newest history entry; next[] links older entries of the same item
 * by_category:  category hash -> bit set of the history entries whose item has it
 * mask[f]:      bit set of the history entries that feature f looks at, rank[f][i]: its place among
 * them
 */

struct bits {
    uint64_t w[HIST_WORDS];
};

struct category {
    uint64_t key; /* 0 = empty */
    struct bits in;
};

struct view {
    struct bits mask;
    uint32_t n;
    uint16_t *rank; /* (n_history), 0 = not looked at */
};

struct fr_cross {
    const struct fr_spec *spec;
    const struct fr_cut *cut;
    const struct fr_item_table *table;
    uint64_t *item_key; /* (item_mask + 1), 0 = empty */
    uint16_t *item_at;
    uint64_t item_mask;
    uint16_t *next; /* (n_history), 0xffff = end */
    struct category *cat;
    uint64_t cat_mask;
    struct view *view; /* (n_feat), only those of cross features are filled */
    struct fr_seen_filter seen;
};

#define END 0xffffu

static uint64_t table_size(uint64_t entries)
{
    uint64_t cap = 16;
    while (cap < 2 * entries)
        cap *= 2;
    return cap;
}

static enum fr_err index_items(struct fr_cross *cx, struct fr_arena *ar)
{
    const struct fr_cut *cut = cx->cut;
    uint64_t cap = table_size(cut->n_history);
    cx->item_key = fr_arena_zarray(ar, cap, sizeof *cx->item_key);
    cx->item_at = fr_arena_array(ar, cap, sizeof *cx->item_at);
    cx->next = fr_arena_array(ar, cut->n_history, sizeof *cx->next);
    if (cx->item_key == NULL || cx->item_at == NULL || cx->next == NULL)
        return FR_ENOMEM;
    cx->item_mask = cap - 1;
    for (uint32_t i = cut->n_history;
         i-- > 0;) { /* oldest first, so that chains run newest first */
        uint64_t h = cut->history[i].item;
        uint64_t s = h & cx->item_mask;
        while (cx->item_key[s] != 0 && cx->item_key[s] != h)
            s = (s + 1) & cx->item_mask;
        cx->next[i] = cx->item_key[s] == h ? cx->item_at[s] : END;
        cx->item_key[s] = h;
        cx->item_at[s] = (uint16_t)i;
    }
    return FR_OK;
}

static struct category *category_slot(const struct fr_cross *cx, uint64_t h)
{
    uint64_t s = h & cx->cat_mask;
    while (cx->cat[s].key != 0 && cx->cat[s].key != h)
        s = (s + 1) & cx->cat_mask;
    return &cx->cat[s];
}

static const struct fr_item *history_item(const struct fr_cross *cx, uint32_t i)
{
    return fr_item_table_get(cx->table, fr_item_table_find(cx->table, cx->cut->history[i].item));
}

static enum fr_err index_categories(struct fr_cross *cx, struct fr_arena *ar)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < cx->cut->n_history; i++) {
        const struct fr_item *it = history_item(cx, i);
        n += it == NULL ? 0 : it->n_category;
    }
    uint64_t cap = table_size(n);
    cx->cat = fr_arena_zarray(ar, cap, sizeof *cx->cat);
    if (cx->cat == NULL)
        return FR_ENOMEM;
    cx->cat_mask = cap - 1;
    for (uint32_t i = 0; i < cx->cut->n_history; i++) {
        const struct fr_item *it = history_item(cx, i);
        for (uint32_t k = 0; it != NULL && k < it->n_category; k++) {
            struct category *c = category_slot(cx, it->category[k]);
            c->key = it->category[k];
            c->in.w[i / 64] |= UINT64_C(1) << (i % 64);
        }
    }
    return FR_OK;
}

static enum fr_err make_view(struct fr_cross *cx, int f, struct fr_arena *ar)
{
    const struct fr_feature *ft = &cx->spec->feat[f];
    const struct fr_cut *cut = cx->cut;
    struct view *v = &cx->view[f];
    uint32_t max = ft->kind == FR_KIND_CATEGORY_SHARE ? ft->n : FR_MAX_HISTORY;

    v->rank = fr_arena_zarray(ar, cut->n_history, sizeof *v->rank);
    if (v->rank == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 0; i < cut->n_history && v->n < max; i++)
        if (ft->types & (1u << cut->history[i].type)) {
            v->rank[i] = (uint16_t)++v->n;
            v->mask.w[i / 64] |= UINT64_C(1) << (i % 64);
        }
    return FR_OK;
}

enum fr_err fr_cross_init(const struct fr_spec *spec,
                          const struct fr_cut *cut,
                          const struct fr_item_table *t,
                          struct fr_arena *ar,
                          struct fr_cross **out_cross)
{
    bool categories = false, seen = false;
    struct fr_cross *cx = fr_arena_zarray(ar, 1, sizeof *cx);
    if (cx == NULL)
        return FR_ENOMEM;
    cx->spec = spec;
    cx->cut = cut;
    cx->table = t;
    cx->view = fr_arena_zarray(ar, (size_t)spec->n_feat, sizeof *cx->view);
    if (cx->view == NULL || index_items(cx, ar) != FR_OK)
        return FR_ENOMEM;
    for (int i = 0; i < spec->n_feat; i++) {
        enum fr_kind k = spec->feat[i].kind;
        categories = categories || k == FR_KIND_CATEGORY_SHARE;
        seen = seen || k == FR_KIND_SEEN;
        if ((k == FR_KIND_CATEGORY_SHARE || k == FR_KIND_HISTORY_COUNT ||
             k == FR_KIND_HISTORY_RECENCY) &&
            make_view(cx, i, ar) != FR_OK)
            return FR_ENOMEM;
    }
    if (categories && index_categories(cx, ar) != FR_OK)
        return FR_ENOMEM;
    if (seen && fr_seen_filter_build(&cut->seen, spec->key, ar, &cx->seen) != FR_OK)
        return FR_ENOMEM;
    *out_cross = cx;
    return FR_OK;
}

/* Newest history entry of an item, END if there is none. */
static uint32_t newest_entry(const struct fr_cross *cx, uint64_t item)
{
    for (uint64_t s = item & cx->item_mask; cx->item_key[s] != 0; s = (s + 1) & cx->item_mask)
        if (cx->item_key[s] == item)
            return cx->item_at[s];
    return END;
}

static struct fr_cell history_count_cell(const struct fr_cross *cx,
                                         const struct fr_feature *ft,
                                         const struct view *v,
                                         uint32_t at)
{
    uint32_t n = 0;
    for (; at != END; at = cx->next[at])
        n += v->rank[at] != 0;
    if (ft->number)
        return (struct fr_cell){0, (float)fr_log1p(n)};
    return (struct fr_cell){fr_bucket_times(n), 1};
}

/* Position: 1 = newest of those looked at. As a number: 1/position, 1/(1 + ln(1 + seconds)); 0 =
 * none. */
static struct fr_cell history_recency_cell(const struct fr_cross *cx,
                                           const struct fr_feature *ft,
                                           const struct view *v,
                                           uint32_t at)
{
    while (at != END && v->rank[at] == 0)
        at = cx->next[at];
    uint32_t place = at == END ? 0 : v->rank[at];
    if (ft->what == FR_HISTORY_POSITION) {
        if (ft->number)
            return (struct fr_cell){0, place == 0 ? 0.0f : (float)(1.0 / place)};
        return (struct fr_cell){fr_bucket_place(place), 1};
    }
    if (place == 0)
        return (struct fr_cell){ft->number ? 0 : 1, ft->number ? 0.0f : 1.0f};
    int64_t ms = cx->cut->ts - cx->cut->history[at].ts;
    double s = ms > 0 ? (double)ms / 1000.0 : 0;
    if (ft->number)
        return (struct fr_cell){0, (float)(1.0 / (1.0 + fr_log1p(s)))};
    return (struct fr_cell){1 + fr_bucket_age(s), 1};
}

static uint32_t count_bits(uint64_t x)
{
    uint32_t n = 0;
    for (; x != 0; x &= x - 1)
        n++;
    return n;
}

static struct fr_cell share_cell(const struct fr_cross *cx,
                                 const struct fr_feature *ft,
                                 const struct view *v,
                                 const struct fr_item *it)
{
    struct bits any = {{0}};
    uint32_t n = 0;
    if (v->n == 0 || it == NULL || it->n_category == 0)
        return (struct fr_cell){0, ft->number ? 0.0f : 1.0f};
    for (uint32_t k = 0; k < it->n_category; k++) {
        const struct category *c = category_slot(cx, it->category[k]);
        for (int w = 0; c->key != 0 && w < HIST_WORDS; w++)
            any.w[w] |= c->in.w[w];
    }
    for (int w = 0; w < HIST_WORDS; w++)
        n += count_bits(any.w[w] & v->mask.w[w]);
    double share = (double)n / v->n;
    if (ft->number)
        return (struct fr_cell){0, (float)share};
    return (struct fr_cell){fr_bucket_share(share), 1};
}

static struct fr_cell rank_cell(const struct fr_feature *ft, uint32_t rank)
{
    if (ft->number)
        return (struct fr_cell){0, rank == 0 ? 0.0f : (float)(1.0 / rank)};
    return (struct fr_cell){fr_bucket_rank(rank), 1};
}

void fr_row_cross(const struct fr_cross *cx, const struct fr_candidate *cand, struct fr_cell *out)
{
    const struct fr_spec *spec = cx->spec;
    const struct fr_item *it = fr_item_table_get(cx->table, cand->idx);
    uint32_t at = newest_entry(cx, cand->item);

    for (int i = 0; i < spec->n_feat; i++) {
        const struct fr_feature *ft = &spec->feat[i];
        struct fr_cell *cell = out + spec->fields.f[ft->field].first;
        if (ft->entity != FR_ENTITY_CROSS)
            continue;
        switch (ft->kind) {
        case FR_KIND_HISTORY_COUNT:
            *cell = history_count_cell(cx, ft, &cx->view[i], at);
            break;
        case FR_KIND_HISTORY_RECENCY:
            *cell = history_recency_cell(cx, ft, &cx->view[i], at);
            break;
        case FR_KIND_CATEGORY_SHARE:
            *cell = share_cell(cx, ft, &cx->view[i], it);
            break;
        case FR_KIND_SEEN:
            *cell = (struct fr_cell){fr_seen_filter_has(&cx->seen, cand->item) ? 2 : 1, 1};
            break;
        case FR_KIND_RETRIEVAL_SCORE:
            *cell = (struct fr_cell){0, cand->has_score ? cand->score : 0.0f};
            break;
        default: /* FR_KIND_SOURCE_RANK */
            *cell = rank_cell(ft, cand->rank[ft->what]);
            break;
        }
    }
}

uint64_t fr_cells_hash(const struct fr_cell *c, uint32_t n)
{
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t x;
        memcpy(&x, &c[i].x, sizeof x);
        h = fr_mix64(h ^ c[i].id) + UINT64_C(0x9e3779b97f4a7c15);
        h = fr_mix64(h ^ x);
    }
    return h;
}
