/*
 * daemon/pipeline/stage3_embed.c - see stage3_embed.h.
 */
#include "daemon/pipeline/stage3_embed.h"

static enum fr_err encode_one(const struct fr_model *m,
                              const struct fr_cut *cut,
                              struct fr_arena *ar,
                              const struct fr_slot **out_user,
                              const struct fr_slot **out_context)
{
    const struct fr_model_info *info = fr_model_info(m);
    struct fr_slot *user = fr_arena_array(ar, info->n_slots[FR_ENTITY_USER] + 1U, sizeof(*user));
    struct fr_slot *ctx = fr_arena_array(ar, info->n_slots[FR_ENTITY_CONTEXT] + 1U, sizeof(*ctx));
    enum fr_err e;

    if (user == NULL || ctx == NULL)
        return FR_ENOMEM;
    e = fr_model_encode(m, FR_ENTITY_USER, cut->user_cells, 1, user);
    if (e == FR_OK)
        e = fr_model_encode(m, FR_ENTITY_CONTEXT, cut->context_cells, 1, ctx);
    *out_user = user;
    *out_context = ctx;
    return e;
}

enum fr_err fr_stage_embed(const struct fr_epoch *ep,
                           unsigned flags,
                           struct fr_arena *ar,
                           struct fr_trigger *const *trig,
                           int n)
{
    const struct fr_model_info *info;
    const struct fr_slot **user, **ctx;
    struct fr_trigger **who;
    float *out;
    int m = 0;
    enum fr_err e = FR_OK;

    for (int i = 0; i < n; i++)
        trig[i]->vector = NULL;
    if (ep->retrieval == NULL || ep->index == NULL)
        return FR_OK;
    info = fr_model_info(ep->retrieval);
    user = fr_arena_array(ar, (size_t)n, sizeof(*user));
    ctx = fr_arena_array(ar, (size_t)n, sizeof(*ctx));
    who = fr_arena_array(ar, (size_t)n, sizeof(struct fr_trigger *));
    out = fr_arena_array(ar, (size_t)n * (size_t)info->dim, sizeof(float));
    if (user == NULL || ctx == NULL || who == NULL || out == NULL)
        return FR_ENOMEM;
    for (int i = 0; i < n; i++) {
        if (trig[i]->cut->n_history == 0)
            continue;
        e = encode_one(ep->retrieval, trig[i]->cut, ar, &user[m], &ctx[m]);
        if (e == FR_ENOMEM)
            return e;
        if (e != FR_OK)
            trig[i]->fallback = true;
        else
            who[m++] = trig[i];
    }
    if (m == 0)
        return FR_OK;
    e = fr_model_users(ep->retrieval, user, info->n_slots[FR_ENTITY_CONTEXT] > 0 ? ctx : NULL, m,
                       flags, ar, out);
    if (e == FR_ENOMEM)
        return e;
    for (int i = 0; i < m; i++) {
        if (e == FR_OK)
            who[i]->vector = out + (size_t)i * (size_t)info->dim;
        else
            who[i]->fallback = true;
    }
    return FR_OK;
}
