/*
 * tests/bench/bench_frozen.c - how good are frozen models on the rest of a stream? Replays it in one
 * thread by the serving code (state, rows, stages 3 to 5; exact index, no Kafka, no Redis), makes the
 * list of every trigger from event FROM on whose user comes back, writes the lists for
 * `freshet evaluate --stream --recommendations`, and prints HR@20 of the tower's order among the same
 * candidates beside the ranker's.
 *
 * usage: bench_frozen EVENTS ITEMS|- BUNDLES FROM EVERY LISTS|- [section.key=value ...]
 *        BUNDLES/two_tower and BUNDLES/deepfm (may be absent); one trigger in EVERY
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/config.h"
#include "daemon/learn/stream_examples.h"
#include "daemon/metrics.h"
#include "daemon/pipeline/spec_config.h"
#include "daemon/pipeline/stage3_embed.h"
#include "daemon/pipeline/stage4_candidates.h"
#include "daemon/pipeline/stage5_score.h"

#define N 20
#define MAX_FILE ((size_t)1 << 34)

struct run {
    const struct fr_config *cfg;
    const struct fr_spec *spec;
    struct fr_model *tower, *ranker;
    bool loaded;
    uint64_t from, every, seen;
    FILE *lists;
    struct fr_metrics mx;
    /* over the triggers taken */
    uint64_t n, found, tower_hits, ranker_hits, candidates;
    double tower_rr, ranker_rr;
};

static _Noreturn void die(const char *what, enum fr_err e, const struct fr_fault *fault)
{
    fprintf(stderr, "bench_frozen: %s: %s\n", what, fault->msg[0] != '\0' ? fault->msg : fr_err_text(e));
    exit(1);
}

/* Where the label stands in the tower's order and in the list, from 1; 0 = beyond. */
static void count(struct run *r, const struct fr_stream_trigger *t, const struct fr_trigger *tr)
{
    uint32_t at = 0, place = 1;

    r->n++;
    r->candidates += tr->n_cand;
    while (at < tr->n_cand && tr->cand[at].item != t->label)
        at++;
    if (at == tr->n_cand)
        return;
    r->found++;
    for (uint32_t i = 0; i < tr->n_cand; i++)
        place += tr->cand[i].has_score && tr->cand[i].score > tr->cand[at].score;
    if (tr->cand[at].has_score && place <= N) {
        r->tower_hits++;
        r->tower_rr += 1.0 / place;
    }
    for (uint32_t i = 0; i < tr->n_list; i++) {
        if (tr->list[i].cand != at)
            continue;
        r->ranker_hits++;
        r->ranker_rr += 1.0 / (i + 1);
    }
}

static void write_list(const struct run *r, const struct fr_stream_trigger *t, const struct fr_trigger *tr)
{
    fprintf(r->lists, "{\"items\":[");
    for (uint32_t i = 0; i < tr->n_list; i++) {
        struct fr_str id = tr->cand_id[tr->list[i].cand];
        fprintf(r->lists, "%s{\"item_id\":\"%.*s\"}", i == 0 ? "" : ",", (int)id.n, id.p);
    }
    fprintf(r->lists, "],\"trigger\":{\"partition\":0,\"offset\":%llu}}\n", (unsigned long long)t->line);
}

static enum fr_err on_trigger(void *ctx, const struct fr_stream_trigger *t)
{
    struct run *r = ctx;
    struct fr_candidate_policy pol = fr_candidate_policy_of(r->cfg);
    struct fr_work work = {.kind = FR_WORK_EVENT, .ev = *t->ev};
    struct fr_trigger tr = {.work = &work, .cut = t->cut, .generation = t->generation}, *one = &tr;
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_epoch view;
    enum fr_err e = FR_OK;

    if (t->line < r->from || r->seen++ % r->every != 0)
        return FR_OK;
    if (!r->loaded)
        e = fr_epochs_set_models(t->ep, &r->tower, &r->ranker, &fault);
    r->loaded = true;
    if (e != FR_OK)
        die("models", e, &fault);
    fr_epochs_pin(t->ep, &view);
    e = fr_stage_embed(&view, 0, t->ar, &one, 1);
    if (e == FR_OK)
        e = fr_stage_candidates(r->spec, &pol, &view, t->ar, &r->mx, &tr);
    if (e == FR_OK)
        e = fr_stage_score(r->spec, &(struct fr_score_policy){N, {1, 0}}, &view, 0, t->ar, NULL, &tr);
    if (e == FR_OK)
        count(r, t, &tr);
    if (e == FR_OK && r->lists != NULL)
        write_list(r, t, &tr);
    fr_epochs_unpin(t->ep, &view);
    return e;
}

static struct fr_model *load(const char *dir, const char *name, const struct fr_spec *spec)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_model *m = NULL;
    char path[4096];
    enum fr_err e = FR_ETOOLARGE;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path))
        e = fr_model_load(path, &spec->fields, &m, &fault);
    if (e == FR_ENOTFOUND)
        fprintf(stderr, "no %s\n", path);
    else if (e != FR_OK)
        die(path, e, &fault);
    return m;
}

static struct fr_str read_all(const char *path)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    char *p = NULL;
    size_t n = 0;
    enum fr_err e = strcmp(path, "-") == 0 ? FR_OK : fr_file_read(path, MAX_FILE, &p, &n, &fault);

    if (e != FR_OK)
        die(path, e, &fault);
    return (struct fr_str){p == NULL ? "" : p, n};
}

static void replay(struct run *r, const char *events, const char *items)
{
    struct fr_stream_input in = {.spec = r->spec, .events = read_all(events), .items = read_all(items)};
    struct fr_epochs_config ec = {.m = 16, .ef_construction = 200, .ef_search = 250, .flat = true};
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_stream_labels labels;
    struct fr_epochs *ep = NULL;
    enum fr_err e = fr_stream_labels_find(&in, &labels, &fault);

    if (e == FR_OK)
        e = fr_epochs_new(r->spec, &ec, &ep);
    if (e == FR_OK)
        e = fr_stream_replay(&in, &labels, ep, on_trigger, r, &fault);
    if (e != FR_OK)
        die(events, e, &fault);
    fr_epochs_free(ep);
    fr_stream_labels_done(&labels);
}

int main(int argc, char **argv)
{
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    static struct fr_config cfg;
    static struct run r;
    struct fr_spec *spec = NULL;
    enum fr_err e;
    double n;

    if (argc < 7) {
        fprintf(stderr, "usage: bench_frozen EVENTS ITEMS|- BUNDLES FROM EVERY LISTS|- [section.key=value ...]\n");
        return 2;
    }
    e = fr_config_init(&cfg, &fault);
    for (int i = 7; i < argc && e == FR_OK; i++)
        e = fr_config_set(&cfg, argv[i], &fault);
    if (e == FR_OK)
        e = fr_spec_from_config(&cfg, &spec, &fault);
    if (e != FR_OK)
        die("configuration", e, &fault);
    r.cfg = &cfg;
    r.spec = spec;
    r.tower = load(argv[3], "two_tower", spec);
    r.ranker = load(argv[3], "deepfm", spec);
    r.from = strtoull(argv[4], NULL, 10);
    r.every = strtoull(argv[5], NULL, 10);
    r.every += r.every == 0;
    if (strcmp(argv[6], "-") != 0)
        r.lists = fopen(argv[6], "w");
    replay(&r, argv[1], argv[2]);
    n = r.n == 0 ? 1 : (double)r.n;
    printf("%llu triggers, %.1f candidates; label among them %.4f; HR@20 / MRR@20: tower's order %.4f / %.4f, "
           "ranker's %.4f / %.4f\n",
           (unsigned long long)r.n, (double)r.candidates / n, (double)r.found / n, (double)r.tower_hits / n,
           r.tower_rr / n, (double)r.ranker_hits / n, r.ranker_rr / n);
    fr_spec_free(spec);
    fr_config_done(&cfg);
    return r.lists != NULL && fclose(r.lists) != 0;
}
