/*
 * daemon/serve/app_reload.c - loading models, and what SIGHUP takes over: all of it or nothing.
 *
 *   next config ─► keys that need a restart? ─► specification ─► models and their self-tests ─►
 *   new index aside ─► swap models and index ─► publish the configuration (cannot fail any more)
 */
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/log.h"
#include "daemon/pipeline/spec_config.h"
#include "daemon/serve/app_priv.h"

static void model_name(char out[FR_MODEL_NAME + 24], const struct fr_model *m)
{
    if (m == NULL)
        (void)snprintf(out, FR_MODEL_NAME + 24, "none");
    else
        (void)snprintf(out, FR_MODEL_NAME + 24, "%s@%llu", fr_model_info(m)->name,
                       (unsigned long long)fr_model_info(m)->version);
}

enum fr_err fr_app_load_models(struct fr_app *a, const struct fr_config *cfg, struct fr_fault *fault)
{
    struct fr_model *retrieval = NULL, *ranker = NULL;
    char name[2][FR_MODEL_NAME + 24];
    enum fr_err e = FR_OK;

    if (cfg->models_retrieval[0] != '\0')
        e = fr_model_load(cfg->models_retrieval, &a->spec->fields, &retrieval, fault);
    if (e == FR_OK && cfg->models_ranker[0] != '\0')
        e = fr_model_load(cfg->models_ranker, &a->spec->fields, &ranker, fault);
    model_name(name[0], retrieval);
    model_name(name[1], ranker);
    if (e == FR_OK && cfg->models_score_value_power > 0 &&
        (ranker == NULL || fr_model_info(ranker)->value == FR_VALUE_NONE))
        fr_log(FR_LOG_WARN, "app", "ranker=%s has no value head: models.score_value_power does not count", name[1]);
    if (e == FR_OK)
        e = fr_epochs_set_models(a->epochs, &retrieval, &ranker, fault);
    if (e == FR_OK)
        fr_log(FR_LOG_INFO, "app", "retrieval=%s ranker=%s", name[0], name[1]);
    fr_model_free(retrieval);
    fr_model_free(ranker);
    return e;
}

static void live_free(struct fr_app_live *l)
{
    if (l == NULL)
        return;
    fr_spec_free(l->spec);
    fr_config_done(&l->cfg);
    fr_free(l);
}

void fr_app_live_free(struct fr_app *a)
{
    while (a->lives != NULL) {
        struct fr_app_live *older = a->lives->older;
        live_free(a->lives);
        a->lives = older;
    }
}

const struct fr_config *fr_app_cfg(const struct fr_app *a)
{
    return a->lives == NULL ? &a->cfg : &a->lives->cfg;
}

/* May `next` follow `cur` without a restart? */
static enum fr_err
check_keys(const struct fr_config *cur, const struct fr_config *next, struct fr_fault *fault)
{
    struct fr_buf keys;
    enum fr_err e = FR_OK;

    fr_buf_init(&keys);
    if (fr_config_diff(cur, next, false, &keys) > 0)
        e = fr_fault(fault, FR_EREFUSED, "needs a restart: %.*s", (int)keys.n, keys.p);
    else if ((cur->recommend_repeat == FR_REPEAT_FOREVER) != (next->recommend_repeat == FR_REPEAT_FOREVER))
        e = fr_fault(fault, FR_EREFUSED,
                     "needs a restart: recommend.repeat from or to forever (what users have seen is kept or not)");
    fr_buf_done(&keys);
    return e;
}

/* The successor, complete but not yet published. */
static enum fr_err prepare(struct fr_app *a, struct fr_config *next, struct fr_app_live **out, struct fr_fault *fault)
{
    struct fr_app_live *l = fr_calloc(1, sizeof(*l));
    enum fr_err e;

    if (l == NULL)
        return fr_fault(fault, FR_ENOMEM, "out of memory");
    e = fr_spec_from_config(next, &l->spec, fault);
    if (e == FR_OK && l->spec->fields.hash != a->spec->fields.hash)
        e = fr_fault(fault, FR_EMISMATCH, "the features would change: needs a restart");
    if (e != FR_OK) {
        live_free(l);
        return e;
    }
    *out = l;
    return FR_OK;
}

static void publish(struct fr_app *a, struct fr_app_live *l, struct fr_config *take_next)
{
    l->cfg = *take_next;
    memset(take_next, 0, sizeof(*take_next));
    l->pub = (struct fr_live){&l->cfg, l->spec};
    l->older = a->lives;
    a->lives = l;
    atomic_store_explicit(&a->live, &l->pub, memory_order_release);
    fr_ticks_set_spec(a->ticks, l->spec);
    fr_log_set_level((enum fr_log_level)l->cfg.log_level);
}

enum fr_err fr_app_reload(struct fr_app *a, struct fr_config *take_next, struct fr_fault *fault)
{
    struct fr_app_live *l = NULL;
    struct fr_buf changed;
    int n;
    enum fr_err e = check_keys(fr_app_cfg(a), take_next, fault);

    fr_buf_init(&changed);
    n = fr_config_diff(fr_app_cfg(a), take_next, true, &changed);
    if (e == FR_OK && n > 0) /* else only the bundles may have changed: nothing to publish */
        e = prepare(a, take_next, &l, fault);
    if (e == FR_OK)
        e = fr_app_load_models(a, take_next, fault);
    fr_count(&a->mx, e == FR_OK ? FR_C_MODEL_RELOADS : FR_C_MODEL_RELOADS_FAILED, 1);
    if (e != FR_OK) {
        live_free(l);
    } else {
        if (l != NULL)
            publish(a, l, take_next);
        fr_log(FR_LOG_INFO, "app", "reload=ok changed=\"%.*s\"", (int)changed.n, changed.n == 0 ? "" : changed.p);
    }
    fr_buf_done(&changed);
    return e;
}
