/*
 * A training on a stream that goes on from any of the checkpoints it wrote makes the bytes and measures of one that was
 * not stopped; of another run, stream or bundle it is refused by name.
 * ctest: timeout 300
 */
#include "daemon/learn/stream_saver.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "daemon/base/hash.h"
#include "daemon/learn/stream_train.h"
#include "daemon/pipeline/spec_config.h"
#include "tests/support/learner_fixture.h"
#include "tests/support/model_fixture.h"
#include "tests/support/tmpdir.h"

#define USERS 12
#define ITEMS 30
#define STATES 400
#define NEVER 1e9 /* seconds: after each epoch only */

static bool slow; /* a sanitizer build */
static struct fr_config cfg;
static struct fr_spec *spec;
static struct fr_buf events, items;
static char *dir, path[512];
static struct fr_fault fault;

static void event(struct fr_buf *out, int n)
{
    struct fr_rng r;
    int u, i;

    fr_rng_seed(&r, (uint64_t)n);
    u = (int)fr_rng_below(&r, USERS);
    i = (int)(fr_rng_below(&r, ITEMS / 3) * 3) + u % 3;
    fr_buf_printf(out, "{\"event_id\":\"e%d\",\"type\":\"%s\",\"user_id\":\"u%d\",\"item_id\":\"i%d\",\"ts\":%lld,\"value\":%d}\n", n,
                  n % 4 == 0 ? "purchase" : "click", u, i, 1790000000000LL + n * 20000LL, 1 + i);
}

static void setup(void)
{
    slow = learner_slow();
    memset(&fault, 0, sizeof(fault));
    learner_open("allow", &cfg, &spec, &dir);
    fr_buf_init(&events);
    fr_buf_init(&items);
    for (int n = 0; n < 400; n++)
        event(&events, n);
    for (int i = 0; i < ITEMS; i++)
        fr_buf_printf(&items, "{\"item_id\":\"i%d\",\"title\":\"t\",\"categories\":[\"c%d\"]}\n", i, i % 3);
    ck_assert(tmpdir_path(dir, "checkpoint", path, sizeof(path)));
}

static void teardown(void)
{
    fr_buf_done(&events);
    fr_buf_done(&items);
    learner_close(&cfg, spec, dir);
}

static struct fr_stream_train_config config(const char *out, char room[512])
{
    struct fr_stream_train_config c;

    fr_stream_train_config_default(&c);
    ck_assert(tmpdir_path(dir, out, room, 512));
    c.in.spec = spec;
    c.in.events = fr_buf_str(&events);
    c.in.items = fr_buf_str(&items);
    c.cfg = &cfg;
    c.dir = room;
    c.seed = 7;
    c.threads = 2;
    c.batch = 64;
    c.epochs = c.mf_epochs = 3;
    c.ranker_epochs = 2;
    c.tower_part = .5;
    c.held_out = .3;
    c.max_lists = 70; /* two steps of a ranker's epoch */
    c.max_held_out = 20;
    c.checkpoint_s = NEVER;
    return c;
}

/* ---- every state of a training ---- */

static struct {
    ino_t inode;
    struct timespec time;
    int n; /* kept in dir/state.0 .. */
} kept;

static void state_path(int i, char out[512])
{
    char name[32];

    (void)snprintf(name, sizeof(name), "state.%d", i);
    ck_assert(tmpdir_path(dir, name, out, 512));
}

static void copy(const char *from, const char *to)
{
    size_t n;
    char *bytes = tmpdir_read(from, &n);

    ck_assert_msg(bytes != NULL && tmpdir_write(to, bytes, n), "%s to %s", from, to);
    fr_free(bytes);
}

/* Told all the time: what was written since? */
static void keep(void *ctx, const char *what, uint64_t done, uint64_t total, double loss, double auc)
{
    struct stat s;
    char to[512];

    (void)ctx, (void)what, (void)done, (void)total, (void)loss, (void)auc;
    if (stat(path, &s) != 0 || kept.n == STATES ||
        (s.st_ino == kept.inode && memcmp(&s.st_mtim, &kept.time, sizeof(kept.time)) == 0))
        return;
    kept.inode = s.st_ino;
    kept.time = s.st_mtim;
    state_path(kept.n++, to);
    copy(path, to);
}

/* @param out_row  nullable: rows of its epoch that were done */
static int part_of(const char *file, int64_t *out_row)
{
    struct fr_checkpoint *ck = NULL;
    int part = -1;
    int64_t row = -1;

    ck_assert_msg(fr_checkpoint_read(file, &ck, &fault) == FR_OK, "%s", fault.msg);
    fr_checkpoint_section(ck, "place");
    fr_checkpoint_int(ck, "part", &part, 0, FR_STREAM_PARTS);
    fr_checkpoint_i64(ck, "row", &row, 0, FR_CHECKPOINT_MAX_STEPS);
    fr_checkpoint_free(ck);
    if (out_row != NULL)
        *out_row = row;
    return part;
}

static void same_file(const char *a, const char *b, const char *name, const char *what)
{
    char pa[600], pb[600];
    size_t na = 0, nb = 0;
    char *ta, *tb;

    (void)snprintf(pa, sizeof(pa), "%s/%s", a, name);
    (void)snprintf(pb, sizeof(pb), "%s/%s", b, name);
    ta = tmpdir_read(pa, &na);
    tb = tmpdir_read(pb, &nb);
    ck_assert_msg((ta == NULL) == (tb == NULL), "%s: %s is in one only", what, name);
    ck_assert_msg(ta == NULL || (na == nb && memcmp(ta, tb, na) == 0), "%s: %s differs", what, name);
    fr_free(ta);
    fr_free(tb);
}

static void same_bundles(const struct fr_stream_train_config *a, const struct fr_stream_train_config *b, const char *what)
{
    const char *slug[2] = {fr_model_kind_slug(a->retrieval_kind), fr_model_kind_slug(a->ranker_kind)};
    char name[80];

    for (int i = 0; i < 2; i++) {
        (void)snprintf(name, sizeof(name), "%s/weights.safetensors", slug[i]);
        same_file(a->dir, b->dir, name, what);
        (void)snprintf(name, sizeof(name), "%s/manifest.json", slug[i]);
        same_file(a->dir, b->dir, name, what);
    }
}

/* A result without its times; both were zeroed first. */
static struct fr_stream_train_result timeless(const struct fr_stream_train_result *r)
{
    struct fr_stream_train_result t;

    memcpy(&t, r, sizeof(t));
    t.examples_s = t.tower_a_s = t.lists_s = t.ranker_s = t.tower_s = t.total_s = 0;
    return t;
}

static int notes;

static void note(void *ctx, const char *text)
{
    (void)ctx;
    ck_assert_msg(strncmp(text, "going on in part ", 17) == 0, "%s", text);
    notes++;
}

static void remove_bundle(const char *out, enum fr_model_kind kind)
{
    char p[600];

    (void)snprintf(p, sizeof(p), "%s/%s", out, fr_model_kind_slug(kind));
    (void)tmpdir_remove(p);
}

/* Go on from `file`, as if nothing later had been written. */
static void go_on(const struct fr_stream_train_config *whole,
                  const struct fr_stream_train_result *want,
                  const char *file)
{
    struct fr_stream_train_config c = *whole;
    struct fr_stream_train_result got, x, y;
    char again[512], what[64];
    int part = part_of(file, NULL);

    ck_assert(tmpdir_path(dir, "again", again, sizeof(again)));
    remove_bundle(again, c.retrieval_kind);
    if (part <= FR_STREAM_RANKER)
        remove_bundle(again, c.ranker_kind);
    copy(file, path);
    c.dir = again;
    c.progress = NULL;
    notes = 0;
    (void)snprintf(what, sizeof(what), "%s from part %d, %.20s", fr_model_kind_name(c.ranker_kind), part, strrchr(file, '/'));
    ck_assert_msg(fr_stream_train(&c, &got, &fault) == FR_OK, "%s: %s", what, fault.msg);
    ck_assert_int_eq(notes, 1);
    same_bundles(whole, &c, what);
    x = timeless(want);
    y = timeless(&got);
    ck_assert_msg(memcmp(&x, &y, sizeof(x)) == 0, "%s: other measures", what);
}

static const struct {
    enum fr_model_kind retrieval, ranker;
    enum fr_value_kind value;
    const char *event;
    double every;
    int parts, within; /* that states are of, bit by bit: between epochs, within one */
    int most;  /* states gone on from, about; few: it takes long */
} cases[] = {
    {FR_MODEL_TWO_TOWER, FR_MODEL_DEEPFM, FR_VALUE_LOG, NULL, NEVER, 14, 0, 6},
    {FR_MODEL_MF, FR_MODEL_NEUMF, FR_VALUE_NONE, NULL, NEVER, 15, 0, 8},
    {FR_MODEL_TWO_TOWER, FR_MODEL_AUTOINT_PLUS, FR_VALUE_UNIT, "purchase", 0, 14, 14, 4},
    {FR_MODEL_MF, FR_MODEL_GMF, FR_VALUE_NONE, NULL, 0, 15, 0, 8},
    {FR_MODEL_MF, FR_MODEL_LR, FR_VALUE_NONE, NULL, 0, 15, 4, 8},
    {FR_MODEL_MF, FR_MODEL_FM, FR_VALUE_NONE, NULL, NEVER, 15, 0, 8},
    {FR_MODEL_TWO_TOWER, FR_MODEL_WIDE_DEEP, FR_VALUE_NONE, NULL, 0, 14, 14, 4},
    {FR_MODEL_MF, FR_MODEL_AUTOINT, FR_VALUE_LOG, "purchase", NEVER, 15, 0, 5},
    {FR_MODEL_TWO_TOWER, FR_MODEL_MLP, FR_VALUE_NONE, NULL, NEVER, 14, 0, 8},
};
#define CASES ((int)(sizeof(cases) / sizeof(cases[0])))

START_TEST(from_any_checkpoint__the_bytes_of_an_unbroken_training)
{
    char whole[512], plain[512], file[512];
    struct fr_stream_train_config c = config("whole", whole), bare;
    struct fr_stream_train_result want, other;
    int64_t row = 0;
    int part, parts = 0, within = 0, *seen, most = slow ? 4 : cases[_i].most;

    if (slow && cases[_i].most < 6)
        return; /* minutes; all trainers go on in test_models_checkpoint.c */
    c.retrieval_kind = cases[_i].retrieval;
    c.ranker_kind = cases[_i].ranker;
    c.in.value = (struct fr_stream_value_rule){cases[_i].value, cases[_i].event};
    if (cases[_i].every <= 0)
        c.batch = 8; /* a tower tells every 16 steps: within its epochs too */
    bare = c;
    ck_assert(tmpdir_path(dir, "plain", plain, sizeof(plain)));
    bare.dir = plain;
    ck_assert_msg(fr_stream_train(&bare, &other, &fault) == FR_OK, "%s", fault.msg);
    c.checkpoint = path;
    c.checkpoint_s = cases[_i].every;
    c.progress = keep;
    c.note = note;
    memset(&kept, 0, sizeof(kept));
    ck_assert_msg(fr_stream_train(&c, &want, &fault) == FR_OK, "%s", fault.msg);
    keep(NULL, "", 0, 0, 0, 0); /* what it left */
    same_bundles(&bare, &c, "with and without a checkpoint");
    ck_assert_int_lt(kept.n, STATES);
    for (int i = 0; i < kept.n; i++) {
        state_path(i, file);
        part = part_of(file, &row);
        seen = row > 0 ? &within : &parts;
        if (i < kept.n - 1 && (*seen >> part & 1) != 0 && (i + 1) * most / kept.n == i * most / kept.n)
            continue; /* the first of each sort, the others spread evenly, the last */
        *seen |= 1 << part;
        go_on(&c, &want, file);
    }
    ck_assert_int_eq(parts, cases[_i].parts);
    ck_assert_int_eq(within, cases[_i].within);
}
END_TEST

/* The last state of each part that the part after it would overwrite, and those without the other half. */
START_TEST(from_what_a_whole_training_left__the_same_bytes)
{
    char whole[512], left[512];
    struct fr_stream_train_config c = config("whole", whole);
    struct fr_stream_train_result want;

    c.with_retrieval = _i == 0;
    c.with_ranker = !c.with_retrieval;
    c.checkpoint = path;
    c.note = note;
    ck_assert_msg(fr_stream_train(&c, &want, &fault) == FR_OK, "%s", fault.msg);
    ck_assert_int_eq(part_of(path, NULL), _i == 0 ? FR_STREAM_TOWER : FR_STREAM_RANKER);
    state_path(0, left);
    copy(path, left);
    go_on(&c, &want, left);
}
END_TEST

/* ---- refusals ---- */

/* A state within a part, in `path`. */
static void state_in(struct fr_stream_train_config *c, int part)
{
    struct fr_stream_train_result r;
    char file[512];
    int i = 0;

    (void)unlink(path);
    c->checkpoint = path;
    c->progress = keep;
    memset(&kept, 0, sizeof(kept));
    ck_assert_msg(fr_stream_train(c, &r, &fault) == FR_OK, "%s", fault.msg);
    c->progress = NULL;
    for (state_path(0, file); part_of(file, NULL) != part; state_path(++i, file))
        ck_assert_int_lt(i, kept.n);
    copy(file, path);
}

static void refused(const struct fr_stream_train_config *c, enum fr_err want, const char *text)
{
    struct fr_stream_train_result r;
    size_t before, after;
    char *a = tmpdir_read(path, &before), *b;
    enum fr_err e;

    memset(&fault, 0, sizeof(fault));
    e = fr_stream_train(c, &r, &fault);
    ck_assert_msg(e == want && strstr(fault.msg, text) != NULL && strstr(fault.msg, path) != NULL, "%s: %d, %s", text,
                  (int)e, fault.msg);
    b = tmpdir_read(path, &after);
    ck_assert_msg(before == after && memcmp(a, b, before) == 0, "%s: the refused file was changed", text);
    fr_free(a);
    fr_free(b);
}

#define CHANGED(field, value, text)                                                                                    \
    do {                                                                                                               \
        struct fr_stream_train_config other = c;                                                                       \
        other.field = (value);                                                                                         \
        refused(&other, FR_EMISMATCH, text);                                                                           \
    } while (0)

START_TEST(another_setting__refused_by_name)
{
    char whole[512];
    struct fr_stream_train_config c = config("whole", whole);
    struct fr_two_tower_train_config tower;
    struct fr_ctr_train_config ranker;

    state_in(&c, FR_STREAM_TOWER_A);
    CHANGED(with_ranker, false, "run/with_ranker: 1 there, 0 here");
    CHANGED(with_retrieval, false, "run/with_retrieval: 1 there, 0 here");
    CHANGED(retrieval_kind, FR_MODEL_MF, "run/retrieval: two_tower there, mf here");
    CHANGED(ranker_kind, FR_MODEL_FM, "run/ranker: deepfm there, fm here");
    CHANGED(seed, 8, "run/seed: 7 there, 8 here");
    CHANGED(threads, 1, "run/threads: 2 there, 1 here");
    CHANGED(optimizer, FR_OPTIMIZER_ADAGRAD, "run/optimizer: adam there, adagrad here");
    CHANGED(lr, .01, "run/lr: 0 there, 0.01 here");
    CHANGED(decay, .5, "run/decay: 1 there, 0.5 here");
    CHANGED(epochs, 4, "run/epochs: 3 there, 4 here");
    CHANGED(mf_epochs, 4, "run/mf_epochs: 3 there, 4 here");
    CHANGED(ranker_epochs, 3, "run/ranker_epochs: 2 there, 3 here");
    CHANGED(batch, 32, "run/batch: 64 there, 32 here");
    CHANGED(tower_part, .6, "run/tower_part: 0.5 there, 0.6 here");
    CHANGED(value_weight, 2, "run/value_weight: 1 there, 2 here");
    CHANGED(held_out, .2, "run/held_out: 0.3 there, 0.2 here");
    CHANGED(negatives, 20, "run/negatives: 30 there, 20 here");
    CHANGED(pair_negatives, 5, "run/pair_negatives: 4 there, 5 here");
    CHANGED(max_lists, 50, "run/max_lists: 70 there, 50 here");
    CHANGED(max_held_out, 50, "run/max_held_out: 20 there, 50 here");
    CHANGED(version, 3, "run/version: 0 there, 3 here");
    CHANGED(shuffle_labels, true, "run/shuffle_labels: 0 there, 1 here");
    CHANGED(in.value.kind, FR_VALUE_LOG, "run/value_head: 0 there, 1 here");
    CHANGED(in.value.event, "purchase", "run/value_event:  there, purchase here");
    fr_two_tower_train_config_default(&tower);
    tower.margin = 0.5f;
    CHANGED(tower, &tower, "tower/margin: 0.8");
    fr_two_tower_train_config_default(&tower);
    tower.opt.id_dropout = 0.25f;
    CHANGED(tower, &tower, "tower/id_dropout: 0.1");
    fr_two_tower_train_config_default(&tower);
    tower.opt.lr = 0.25f;
    CHANGED(tower, &tower, "tower/lr: 0.003");
    fr_ctr_train_config_default(&ranker);
    CHANGED(ranker, &ranker, "ranker/own: 0 there, 1 here");
}
END_TEST

START_TEST(another_configuration__refused_by_name)
{
    static const char *const other[][2] = {{"recommend.candidates=30", "config/candidates: 200 there, 30 here"},
                                           {"recommend.popular=7", "config/popular: 50 there, 7 here"},
                                           {"recommend.repeat=forever", "config/repeat: "},
                                           {"recommend.min_interval_ms=1", "config/min_interval_ms: 0 there, 1 here"},
                                           {"models.score_value_power=2", "config/score_value_power: 0 there, 2 here"},
                                           {"models.score_click_power=2", "config/score_click_power: 1 there, 2 here"},
                                           {"events.positive=view,click,purchase", "config/features: "},
                                           {"recommend.on=click,purchase", "config/event_types: "}};
    char whole[512];
    struct fr_stream_train_config c = config("whole", whole);
    struct fr_config mine;
    struct fr_spec *own;

    state_in(&c, FR_STREAM_TOWER_A);
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        ck_assert_int_eq(fr_config_init(&mine, &fault), FR_OK);
        ck_assert_int_eq(fr_config_set(&mine, "recommend.repeat=allow", &fault), FR_OK);
        ck_assert_msg(fr_config_set(&mine, other[i][0], &fault) == FR_OK, "%s", fault.msg);
        own = NULL;
        ck_assert_msg(fr_spec_from_config(&mine, &own, &fault) == FR_OK, "%s: %s", other[i][0], fault.msg);
        c.cfg = &mine;
        c.in.spec = own;
        refused(&c, FR_EMISMATCH, other[i][1]);
        fr_spec_free(own);
        fr_config_done(&mine);
    }
}
END_TEST

START_TEST(another_stream__refused_and_says_what_differs)
{
    char whole[512];
    struct fr_stream_train_config c = config("whole", whole);
    struct fr_stream_train_result r;
    struct fr_buf more;

    state_in(&c, FR_STREAM_RANKER);
    fr_buf_init(&more);
    fr_buf_put(&more, events.p, events.n);
    event(&more, 400);
    c.in.events = fr_buf_str(&more);
    refused(&c, FR_EMISMATCH, "data/events: 400 there, 401 here");
    c.in.until = 400; /* what was read then */
    ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
    c.in.until = 0;
    state_in(&c, FR_STREAM_TOWER); /* of 401 events */
    *(char *)strstr(more.p + more.n / 2, "purchase") = 'P';
    refused(&c, FR_EMISMATCH, "data/events_hash: ");
    *(char *)strstr(more.p + more.n / 2, "Purchase") = 'p';
    c.in.items.n -= 1; /* the last line's end: the same items */
    refused(&c, FR_EMISMATCH, "data/items_hash: ");
    fr_buf_done(&more);
}
END_TEST

/* The lines as a topic, read partition by partition from any on. */
static void as_topic(struct fr_stream_log *log, struct fr_str text, int first, int partitions)
{
    memset(log, 0, sizeof(*log));
    for (int turn = 0; turn < partitions; turn++) {
        struct fr_str rest = text;
        int p = (first + turn) % partitions;

        for (int64_t n = 0; rest.n > 0; n++) {
            size_t k = (size_t)((const char *)memchr(rest.p, '\n', rest.n) - rest.p);
            const char *u = strstr(rest.p, "\"user_id\":\"") + 11;
            struct fr_str key = {u, (size_t)(strchr(u, '"') - u)};
            struct fr_record r = {.partition = p, .offset = n, .ts_ms = 1800000000000, .key = key, .value = {rest.p, k}};

            if (fr_kafka_partition(key, partitions) == p)
                ck_assert_int_eq(fr_stream_log_add(log, &r), FR_OK);
            rest.p += k + 1;
            rest.n -= k + 1;
        }
    }
    fr_stream_log_finish(log, partitions);
}

START_TEST(topics__the_mix_of_partitions_is_nothing__growth_is_refused_with_a_hint)
{
    char whole[512];
    struct fr_stream_train_config c = config("whole", whole);
    struct fr_stream_train_result r;
    struct fr_stream_log log, none = {.partitions = 1};
    struct fr_buf more;

    fr_buf_init(&more);
    as_topic(&log, fr_buf_str(&events), 0, 3);
    c.in.event_log = &log;
    c.in.item_log = &none;
    state_in(&c, FR_STREAM_RANKER);
    fr_stream_log_done(&log);
    as_topic(&log, fr_buf_str(&events), 2, 3);
    ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
    fr_stream_log_done(&log);
    state_path(0, whole);
    copy(whole, path);
    ck_assert(tmpdir_path(dir, "whole", whole, sizeof(whole)));
    fr_buf_put(&more, events.p, events.n);
    for (int n = 400; n < 410; n++)
        event(&more, n);
    as_topic(&log, fr_buf_str(&more), 1, 3);
    refused(&c, FR_EMISMATCH, "data/events: 400 there, 410 here");
    ck_assert_ptr_nonnull(strstr(fault.msg, "topics grow: --until-event"));
    c.in.until = 400;
    ck_assert_msg(fr_stream_train(&c, &r, &fault) == FR_OK, "%s", fault.msg);
    fr_stream_log_done(&log);
    fr_buf_done(&more);
}
END_TEST

START_TEST(the_rankers_bundle_is_gone_or_another__refused)
{
    char whole[512], p[600];
    struct fr_stream_train_config c = config("whole", whole);

    state_in(&c, FR_STREAM_TOWER);
    (void)snprintf(p, sizeof(p), "%s/deepfm/manifest.json", whole);
    ck_assert(tmpdir_write(p, "{}", 2));
    refused(&c, FR_EMISMATCH, "its bundle in --out is another one");
    remove_bundle(whole, FR_MODEL_DEEPFM);
    refused(&c, FR_ENOTFOUND, "the ranker is trained, but its bundle");
    ck_assert_ptr_nonnull(strstr(fault.msg, "deepfm/weights.safetensors"));
}
END_TEST

/* ---- broken files ---- */

START_TEST(a_broken_file__refused_with_a_reason)
{
    char whole[512];
    struct fr_stream_train_config c = config("whole", whole);
    struct fr_stream_train_result r;
    size_t n, step;
    char *file;

    state_in(&c, FR_STREAM_RANKER);
    file = tmpdir_read(path, &n);
    ck_assert_ptr_nonnull(file);
    step = n / (slow ? 7 : 40);
    for (size_t cut = 0; cut < n; cut += step) {
        ck_assert(tmpdir_write(path, file, cut));
        memset(&fault, 0, sizeof(fault));
        ck_assert_int_ne(fr_stream_train(&c, &r, &fault), FR_OK);
        ck_assert_msg(strstr(fault.msg, "--checkpoint") != NULL && strstr(fault.msg, path) != NULL, "%zu: %s", cut, fault.msg);
        file[cut] = (char)(file[cut] ^ 4);
        ck_assert(tmpdir_write(path, file, n));
        file[cut] = (char)(file[cut] ^ 4);
        memset(&fault, 0, sizeof(fault));
        ck_assert_int_ne(fr_stream_train(&c, &r, &fault), FR_OK);
        ck_assert_msg(strstr(fault.msg, "--checkpoint") != NULL && strstr(fault.msg, path) != NULL, "%zu: %s", cut, fault.msg);
    }
    fr_free(file);
}
END_TEST

START_TEST(a_place_that_cannot_be_written_to__found_before_the_training)
{
    char whole[512], none[512];
    struct fr_stream_train_config c = config("whole", whole);
    struct fr_stream_train_result r;

    ck_assert(tmpdir_path(dir, "none/checkpoint", none, sizeof(none)));
    c.checkpoint = none;
    ck_assert_int_ne(fr_stream_train(&c, &r, &fault), FR_OK);
    ck_assert_msg(strstr(fault.msg, none) != NULL, "%s", fault.msg);
    ck_assert_int_eq(r.tower_curve.n, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn_stream_saver");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, from_any_checkpoint__the_bytes_of_an_unbroken_training, 0, CASES);
    tcase_add_loop_test(tc, from_what_a_whole_training_left__the_same_bytes, 0, 2);
    tcase_add_test(tc, another_setting__refused_by_name);
    tcase_add_test(tc, another_configuration__refused_by_name);
    tcase_add_test(tc, another_stream__refused_and_says_what_differs);
    tcase_add_test(tc, topics__the_mix_of_partitions_is_nothing__growth_is_refused_with_a_hint);
    tcase_add_test(tc, the_rankers_bundle_is_gone_or_another__refused);
    tcase_add_test(tc, a_broken_file__refused_with_a_reason);
    tcase_add_test(tc, a_place_that_cannot_be_written_to__found_before_the_training);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
