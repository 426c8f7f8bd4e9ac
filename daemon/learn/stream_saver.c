/*
 * daemon/learn/stream_saver.c - see stream_saver.h.
 */
#include "daemon/learn/stream_saver.h"

#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/learn/stream_train_priv.h"
#include "daemon/pipeline/stage4_candidates.h"
#include "models/train/checkpoint_trainers.h"

#define MAX_EPOCHS 64  /* of a ranker whose number is not asked for */
#define MAX_FILE ((size_t)1 << 40)
#define PATH_BYTES 4096

/* ---- hashes ---- */

static uint64_t hash_array(uint64_t h, const void *p, size_t n, size_t size)
{
    return n == 0 ? h : fr_saver_hash(h, p, n * size);
}

static uint64_t hash_rows(uint64_t h, const struct fr_cell_rows *r)
{
    h = hash_array(h, r->id, r->used, sizeof(*r->id));
    h = hash_array(h, r->x, r->used, sizeof(*r->x));
    h = hash_array(h, r->at, r->used, sizeof(*r->at));
    return hash_array(h, r->end, r->n, sizeof(*r->end));
}

/* Member by member: what lies between them is anything. */
static uint64_t hash_cells(uint64_t h, const struct fr_cell *c, size_t n)
{
    enum { AT_ONCE = 64 };
    uint64_t id[AT_ONCE];
    float x[AT_ONCE];

    for (size_t i = 0; i < n; i += AT_ONCE) {
        size_t k = n - i < AT_ONCE ? n - i : AT_ONCE;

        for (size_t j = 0; j < k; j++) {
            id[j] = c[i + j].id;
            x[j] = c[i + j].x;
        }
        h = hash_array(h, id, k, sizeof(id[0]));
        h = hash_array(h, x, k, sizeof(x[0]));
    }
    return h;
}

/* Rows, labels and what they were worth, the catalogue. What was shown follows from the events. */
static uint64_t hash_examples(const struct fr_learner *l, const struct fr_stream_labels *labels)
{
    uint64_t about[4] = {l->from, l->n_items, l->n_items_a, (uint64_t)l->newest_ts};
    uint64_t h = hash_array(0, about, 4, sizeof(about[0]));

    h = hash_rows(h, &l->user);
    h = hash_rows(h, &l->context);
    h = hash_array(h, l->label, l->user.n, sizeof(*l->label));
    h = hash_array(h, labels->value, (size_t)labels->n, sizeof(*labels->value));
    return hash_cells(h, l->item_cells, (size_t)l->n_items * l->nc[FR_ENTITY_ITEM]);
}

static uint64_t hash_lists(const struct fr_learner *l)
{
    uint64_t h = l->n_train;

    h = hash_rows(h, &l->l_user);
    h = hash_rows(h, &l->l_context);
    h = hash_rows(h, &l->l_item);
    h = hash_rows(h, &l->l_cross);
    for (size_t i = 0; i < l->n_lists; i++) {
        const struct fr_learner_list *it = &l->list[i];
        uint64_t about[4] = {it->first, it->n, it->label, it->tower_place};

        h = fr_saver_hash(h, about, sizeof(about));
        h = fr_saver_hash(h, &it->value, sizeof(it->value));
    }
    return h;
}

/* ---- what must be the same ---- */

static void walk_run(const struct fr_learner *l, struct fr_checkpoint *ck)
{
    const struct fr_stream_train_config *c = l->c;
    const struct {
        const char *name;
        uint64_t v;
    } whole[] = {{"with_retrieval", c->with_retrieval}, {"with_ranker", c->with_ranker},
                 {"seed", c->seed},                     {"threads", (uint64_t)c->threads},
                 {"epochs", (uint64_t)c->epochs},       {"mf_epochs", (uint64_t)c->mf_epochs},
                 {"ranker_epochs", (uint64_t)c->ranker_epochs}, {"batch", (uint64_t)c->batch},
                 {"negatives", (uint64_t)c->negatives}, {"pair_negatives", (uint64_t)c->pair_negatives},
                 {"max_lists", c->max_lists},           {"max_held_out", c->max_held_out},
                 {"version", c->version},               {"batch_norm", c->batch_norm}, {"shuffle_labels", c->shuffle_labels},
                 {"value_head", (uint64_t)c->in.value.kind}};
    const struct {
        const char *name;
        double v;
    } real[] = {{"lr", c->lr}, {"decay", c->decay}, {"l2", c->l2}, {"clip", c->clip},
                {"id_dropout", c->id_dropout}, {"dropout", c->dropout}, {"tower_part", c->tower_part}, {"held_out", c->held_out},
                {"value_weight", (double)c->value_weight}};

    fr_checkpoint_section(ck, "run");
    fr_checkpoint_same_str(ck, "retrieval", fr_model_kind_name(c->retrieval_kind));
    fr_checkpoint_same_str(ck, "ranker", fr_model_kind_name(c->ranker_kind));
    fr_checkpoint_same_str(ck, "optimizer", fr_optimizer_name(c->optimizer));
    fr_checkpoint_same_str(ck, "value_event", c->in.value.event == NULL ? "" : c->in.value.event);
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
        fr_checkpoint_same_u64(ck, whole[i].name, whole[i].v);
    for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++)
        fr_checkpoint_same_f64(ck, real[i].name, real[i].v);
}

static void walk_config(const struct fr_learner *l, struct fr_checkpoint *ck)
{
    const struct fr_config *c = l->c->cfg;
    const struct fr_spec *s = l->spec;
    struct fr_candidate_policy pol = fr_candidate_policy_of(c);
    uint64_t half[2 * FR_HALF_LIVES], types = 0;
    const struct {
        const char *name;
        uint64_t v;
    } whole[] = {{"candidates", pol.from_index},      {"popular", pol.from_popular},
                 {"repeat", (uint64_t)pol.repeat},    {"from_history", pol.from_history},
                 {"features", s->fields.hash},        {"dedup_window", s->dedup_window},
                 {"history_length", s->history_length}, {"seen_cap", s->seen_cap},
                 {"ttl_ms", (uint64_t)s->ttl_ms},     {"max_future_ms", (uint64_t)s->max_future_ms},
                 {"min_interval_ms", (uint64_t)s->min_interval_ms}, {"item_tick_ms", (uint64_t)s->item_tick_ms},
                 {"popular_top", s->popular_top},     {"popular_half_life", (uint64_t)s->popular_half_life}};

    for (int i = 0; i < FR_HALF_LIVES; i++) {
        half[2 * i] = (uint64_t)s->user_half_life_ms[i];
        half[2 * i + 1] = (uint64_t)s->item_half_life_ms[i];
    }
    for (int i = 0; i < s->n_types; i++) {
        const struct fr_type *t = &s->type[i];
        double v[2] = {t->positive, t->has_min_value ? t->min_value : 0};
        bool is[5] = {t->has_min_value, t->history, t->seen, t->trigger, t->shown};

        types = fr_saver_hash(types, t->name, strlen(t->name));
        types = fr_saver_hash(types, v, sizeof(v));
        types = fr_saver_hash(types, is, sizeof(is));
    }
    fr_checkpoint_section(ck, "config");
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
        fr_checkpoint_same_u64(ck, whole[i].name, whole[i].v);
    fr_checkpoint_same_u64(ck, "half_lives", fr_saver_hash(0, half, sizeof(half)));
    fr_checkpoint_same_u64(ck, "event_types", types);
    fr_checkpoint_same_f64(ck, "score_click_power", c->models_score_click_power);
    fr_checkpoint_same_f64(ck, "score_value_power", c->models_score_value_power);
}

static void walk_models(const struct fr_learner *l, struct fr_checkpoint *ck)
{
    struct fr_two_tower_train_config tower;

    fr_two_tower_train_config_default(&tower);
    fr_checkpoint_section(ck, "tower");
    fr_train_two_tower_same(ck, l->c->tower != NULL ? l->c->tower : &tower);
    fr_checkpoint_section(ck, "ranker");
    fr_checkpoint_same_u64(ck, "own", l->c->ranker != NULL);
    if (l->c->ranker != NULL)
        fr_train_ctr_same(ck, l->c->ranker);
}

/* After the settings: another declaration makes other examples. */
static void walk_data(const struct fr_learner *l, struct fr_checkpoint *ck)
{
    fr_checkpoint_section(ck, "data");
    fr_checkpoint_same_u64(ck, "events", l->sv.n_events);
    fr_checkpoint_same_u64(ck, "events_hash", l->sv.events);
    fr_checkpoint_same_u64(ck, "items_hash", l->sv.items);
    fr_checkpoint_same_u64(ck, "examples_hash", l->sv.examples);
}

/* ---- what is kept ---- */

static void walk_curve(struct fr_checkpoint *ck, struct fr_stream_curve *k, const char *section, int epochs)
{
    fr_checkpoint_section(ck, section);
    fr_checkpoint_int(ck, "n", &k->n, 0, FR_STREAM_TRAIN_EPOCHS);
    fr_checkpoint_int(ck, "best", &k->best, 0, epochs);
    fr_checkpoint_f64s(ck, "loss", k->loss, k->n);
    fr_checkpoint_f64s(ck, "valid", k->valid, k->n);
    fr_checkpoint_f64s(ck, "lr", k->lr, k->n);
}

static void walk_result(struct fr_learner *l, struct fr_checkpoint *ck)
{
    struct fr_stream_train_result *r = l->out;
    const struct {
        const char *name;
        uint64_t *v;
    } count[] = {{"lists", &r->lists},   {"lists_held_out", &r->lists_held_out}, {"eval_triggers", &r->eval_triggers},
                 {"pairs", &r->pairs},   {"rows_held_out", &r->rows_held_out},   {"values", &r->values},
                 {"values_held_out", &r->values_held_out}};
    const struct {
        const char *name;
        double *v;
    } real[] = {{"tower_a_s", &r->tower_a_s},     {"lists_s", &r->lists_s},         {"ranker_s", &r->ranker_s},
                {"tower_s", &r->tower_s},         {"tower_loss", &r->tower_loss},   {"ranker_loss", &r->ranker_loss},
                {"auc", &r->auc},                 {"logloss", &r->logloss},         {"mrr_tower", &r->mrr_tower},
                {"mrr_ranker", &r->mrr_ranker},   {"candidates", &r->candidates},   {"hr20_tower", &r->hr20_tower},
                {"hr20_ranker", &r->hr20_ranker}, {"value_error", &r->value_error}, {"value_error_mean", &r->value_error_mean},
                {"value_ndcg", &r->value_ndcg},   {"value_ndcg_click", &r->value_ndcg_click}};

    fr_checkpoint_section(ck, "result");
    for (size_t i = 0; i < sizeof(count) / sizeof(count[0]); i++) {
        int64_t v = (int64_t)*count[i].v;

        fr_checkpoint_i64(ck, count[i].name, &v, 0, FR_CHECKPOINT_MAX_STEPS);
        *count[i].v = (uint64_t)v;
    }
    for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++)
        fr_checkpoint_f64s(ck, real[i].name, real[i].v, 1); /* a measure may be NaN */
    fr_checkpoint_int(ck, "ranker_epochs", &r->ranker_epochs, 0, l->sv.s.epochs);
    fr_checkpoint_int(ck, "mf_epochs", &l->mf_epochs, 0, l->c->mf_epochs);
    walk_curve(ck, &r->tower_curve, "tower_curve", l->sv.s.epochs);
    walk_curve(ck, &r->ranker_curve, "ranker_curve", l->sv.s.epochs);
}

static void head(void *ctx, struct fr_checkpoint *ck)
{
    struct fr_learner *l = ctx;

    walk_run(l, ck);
    walk_config(l, ck);
    walk_models(l, ck);
    walk_data(l, ck);
    walk_result(l, ck);
    fr_checkpoint_section(ck, "part");
    fr_checkpoint_rng(ck, "began", &l->sv.began);
    fr_checkpoint_i64(ck, "steps", &l->sv.steps, 0, FR_CHECKPOINT_MAX_STEPS);
    fr_checkpoint_u64s(ck, "ranker_bundle", &l->sv.ranker_bundle, 1);
}

/* ---- the file ---- */

static int most_epochs(const struct fr_stream_train_config *c)
{
    int n = c->epochs > c->mf_epochs ? c->epochs : c->mf_epochs;

    n = n > c->ranker_epochs ? n : c->ranker_epochs;
    return n > MAX_EPOCHS ? n : MAX_EPOCHS;
}

/* A topic is not what it was. If it has grown at its end alone, the message has the number of events to read. */
static enum fr_err grown(const struct fr_learner *l, enum fr_err e)
{
    char text[FR_FAULT_MSG];
    bool more, other;

    if (e != FR_EMISMATCH || l->c->in.event_log == NULL || l->fault == NULL)
        return e;
    more = strstr(l->fault->msg, " data/events: ") != NULL;
    other = strstr(l->fault->msg, " data/events_hash: ") != NULL || strstr(l->fault->msg, " data/items_hash: ") != NULL;
    if (!more && !other)
        return e;
    (void)snprintf(text, sizeof(text), "%s", l->fault->msg);
    return fr_fault(l->fault, e, more ? "%s; topics grow: --until-event with the number there reads as many"
                                      : "%s; the topics have other records than then (late ones, or new items): train anew",
                    text);
}

enum fr_err fr_stream_saver_begin(struct fr_learner *l, const struct fr_stream_labels *labels)
{
    struct fr_stream_saver *sv = &l->sv;
    const struct fr_stream_train_config *c = l->c;
    struct fr_fault why = {.err = FR_OK};
    enum fr_err e;

    *sv = (struct fr_stream_saver){.s = {.path = c->checkpoint,
                                         .every_s = c->checkpoint_s,
                                         .parts = c->with_retrieval ? FR_STREAM_PARTS : FR_STREAM_TOWER,
                                         .epochs = most_epochs(c),
                                         .head = head,
                                         .head_ctx = l,
                                         .note = c->note,
                                         .note_ctx = c->progress_ctx,
                                         .seconds = &l->out->tower_a_s}};
    if (c->checkpoint != NULL) {
        sv->n_events = labels->n;
        sv->events = fr_stream_input_hash_events(&c->in);
        sv->items = fr_stream_input_hash_items(&c->in);
        sv->examples = hash_examples(l, labels);
    }
    if ((e = fr_saver_begin(&sv->s, l->fault)) != FR_OK || sv->s.from == NULL)
        return grown(l, e);
    l->mf_chosen = sv->s.at.part > FR_STREAM_CHOOSE;
    sv->carried = l->out->tower_a_s + l->out->lists_s + l->out->ranker_s + l->out->tower_s;
    if (c->retrieval_kind != FR_MODEL_MF || !l->mf_chosen || l->mf_epochs > 0)
        return FR_OK;
    fr_checkpoint_section(sv->s.from, "result");
    fr_checkpoint_fail(sv->s.from, FR_ERANGE, "mf_epochs", "must be at least 1 in this part");
    e = fr_checkpoint_end(sv->s.from, &why);
    return e == FR_OK ? FR_EINTERNAL : fr_saver_refuse(&sv->s, &why, l->fault);
}

void fr_stream_saver_part(struct fr_learner *l, enum fr_stream_part part)
{
    if (fr_saver_within(&l->sv.s, (int)part)) {
        l->rng = l->sv.began;
        return;
    }
    l->sv.began = l->rng;
    l->sv.steps = 0;
}

void fr_stream_saver_clock(struct fr_learner *l, double *seconds)
{
    fr_saver_time(&l->sv.s);
    l->sv.s.seconds = seconds;
}

void fr_stream_saver_lists(struct fr_learner *l)
{
    l->sv.lists = l->sv.s.path == NULL ? 0 : hash_lists(l);
}

void fr_stream_saver_same_lists(const struct fr_learner *l, struct fr_checkpoint *ck)
{
    fr_checkpoint_section(ck, "data");
    fr_checkpoint_same_u64(ck, "lists_hash", l->sv.lists);
}

/* ---- the ranker's bundle ---- */

static enum fr_err bundle_hash(const struct fr_learner *l, uint64_t *out, struct fr_fault *fault)
{
    static const char *const file[] = {"weights.safetensors", "manifest.json"};
    enum fr_err e = FR_OK;

    *out = 0;
    for (int i = 0; i < 2 && e == FR_OK; i++) {
        char path[PATH_BYTES], *text = NULL;
        size_t n = 0;

        if (snprintf(path, sizeof(path), "%s/%s/%s", l->c->dir, fr_model_kind_slug(fr_learner_ranker_kind(l)), file[i]) >=
            (int)sizeof(path))
            return fr_fault(fault, FR_ETOOLARGE, "the output path is too long");
        if ((e = fr_file_read(path, MAX_FILE, &text, &n, fault)) == FR_OK)
            *out = fr_saver_hash(*out, text, n);
        fr_free(text);
    }
    return e;
}

enum fr_err fr_stream_saver_bundle(struct fr_learner *l)
{
    return l->sv.s.path == NULL ? FR_OK : bundle_hash(l, &l->sv.ranker_bundle, l->fault);
}

enum fr_err fr_stream_saver_bundle_check(const struct fr_learner *l)
{
    struct fr_fault why = {.err = FR_OK};
    uint64_t now = 0;
    enum fr_err e = bundle_hash(l, &now, &why);

    if (e == FR_OK && now == l->sv.ranker_bundle)
        return FR_OK;
    return fr_fault(l->fault, e == FR_OK ? FR_EMISMATCH : e,
                    "--checkpoint %s: the ranker is trained, but its bundle %s (remove the checkpoint to train it again)",
                    l->sv.s.path, e == FR_OK ? "in --out is another one" : why.msg);
}
