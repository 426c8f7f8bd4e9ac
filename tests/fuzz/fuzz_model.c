/*
 * tests/fuzz/fuzz_model.c - a bundle of any kind, hostile, all the way through fr_model_load(): manifest, weights, the
 * kind's own binding, self-tests. The first byte chooses the kind and what changes (bits 4 and 5: the manifest, the
 * digits of its config, the weights file, its header; the weights under a right CRC); the rest are changes to a good one
 * that is made here: three bytes each, where (16 bits, modulo the length) and what. What is refused has a reason; what is taken scores its candidates and others, or says
 * why not, and never gives a number that is none.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"
#include "models/tensor.h"
#include "models/train/train_ctr.h"
#include "models/train/train_mf.h"
#include "models/train/train_ncf.h"
#include "models/train/train_two_tower.h"

#define N 5
#define KINDS 13
/* What changes: bits 4 and 5 of the first byte. */
#define CONFIG 16u
#define WEIGHTS 32u
#define HEADER (CONFIG | WEIGHTS)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fr_field_set fs;
/* user, hist (2) | hour | item | x */
static struct fr_cell user[N][3], hour[1] = {{3, 1}}, item[N][1], cross[2] = {{0, 0.5f}, {0, -2}};

static struct kind {
    enum fr_model_kind kind;
    enum fr_value_kind value;
    char *file[2]; /* manifest, weights */
    size_t n[2];
} kinds[KINDS] = {
    {FR_MODEL_TWO_TOWER, FR_VALUE_NONE, {NULL}, {0}}, {FR_MODEL_LR, FR_VALUE_NONE, {NULL}, {0}},
    {FR_MODEL_FM, FR_VALUE_NONE, {NULL}, {0}},        {FR_MODEL_WIDE_DEEP, FR_VALUE_NONE, {NULL}, {0}},
    {FR_MODEL_DEEPFM, FR_VALUE_NONE, {NULL}, {0}},    {FR_MODEL_AUTOINT, FR_VALUE_NONE, {NULL}, {0}},
    {FR_MODEL_AUTOINT_PLUS, FR_VALUE_NONE, {NULL}, {0}}, {FR_MODEL_NEUMF, FR_VALUE_NONE, {NULL}, {0}},
    {FR_MODEL_GMF, FR_VALUE_NONE, {NULL}, {0}},       {FR_MODEL_MLP, FR_VALUE_NONE, {NULL}, {0}},
    {FR_MODEL_MF, FR_VALUE_NONE, {NULL}, {0}},        {FR_MODEL_DEEPFM, FR_VALUE_LOG, {NULL}, {0}},
    {FR_MODEL_AUTOINT, FR_VALUE_UNIT, {NULL}, {0}},
};

static char dir[] = "/tmp/freshet-fuzz-XXXXXX"; /* holds the bundle */
static const char *const names[2] = {"manifest.json", "weights.safetensors"};

/* ---- a model of each kind, small ---- */

static struct fr_model *ctr(const struct kind *k)
{
    static const float values[2] = {0.5f, 1};
    const struct fr_cell *items[2] = {item[0], item[3]};
    struct fr_rank_list list = {{user[1], hour, items, cross, 2}, 1, NULL, 1, values};
    struct fr_ctr_train_config c;
    struct fr_train_ctr *tr = NULL;
    struct fr_model *m = NULL;
    bool mixed = k->kind == FR_MODEL_AUTOINT || k->kind == FR_MODEL_AUTOINT_PLUS;
    bool deep = k->kind == FR_MODEL_WIDE_DEEP || k->kind == FR_MODEL_DEEPFM || k->kind == FR_MODEL_AUTOINT_PLUS;

    fr_ctr_train_config_default(&c);
    c.opt.admit = 1;
    c.model = (struct fr_ctr_config){.kind = k->kind, .dim = k->kind == FR_MODEL_LR ? 0 : 3, .value = k->value};
    c.model.batch_norm = k->kind == FR_MODEL_DEEPFM;
    c.model.n_hidden = deep ? 2 : 0;
    c.model.hidden[0] = deep ? 3 : 0;
    c.model.hidden[1] = deep ? 2 : 0;
    if (mixed)
        c.model.attention = (struct fr_attention_config){
            2, 2, 4, true, k->kind == FR_MODEL_AUTOINT_PLUS, FR_RESIDUAL_PROJECTED};
    if (fr_train_ctr_new(&c, &fs, &tr, NULL) != FR_OK || fr_train_ctr_step(tr, &list, 1, NULL) != FR_OK ||
        fr_train_ctr_model(tr, &m, NULL) != FR_OK)
        abort();
    fr_train_ctr_free(tr);
    return m;
}

static struct fr_model *tower(void)
{
    static const char *const fields[] = {"user", "hist", "hour", "item"};
    const struct fr_cell *users[2] = {user[0], user[2]}, *hours[2] = {hour, hour};
    const uint32_t positive[2] = {1, 4};
    struct fr_two_tower_batch b = {2, users, hours, positive, NULL, {item[0], N}};
    struct fr_two_tower_train_config c;
    struct fr_train_two_tower *tr = NULL;
    struct fr_model *m = NULL;

    fr_two_tower_train_config_default(&c);
    c.fields = fields;
    c.n_fields = 4;
    c.model.emb_dim = c.model.dim = 3;
    c.model.n_hidden = 1;
    c.model.hidden[0] = 2;
    c.model.gates = true;
    c.negatives = 2;
    if (fr_train_two_tower_new(&c, &fs, &tr, NULL) != FR_OK || fr_train_two_tower_step(tr, &b, NULL) != FR_OK ||
        fr_train_two_tower_model(tr, &m, NULL) != FR_OK)
        abort();
    fr_train_two_tower_free(tr);
    return m;
}

static struct fr_model *ncf(enum fr_model_kind kind)
{
    struct fr_ncf_train_config c;
    struct fr_train_ncf *tr = NULL;
    struct fr_model *m = NULL;

    fr_ncf_train_config_default(&c);
    c.user = "user";
    c.item = "item";
    c.model.kind = kind;
    c.model.factors = kind == FR_MODEL_MLP ? 0 : 3;
    if (kind != FR_MODEL_GMF) {
        c.model.n_hidden = 2;
        c.model.hidden[0] = 4;
        c.model.hidden[1] = 2;
    }
    if (fr_train_ncf_new(&c, &fs, &tr, NULL) != FR_OK || fr_train_ncf_ids(tr, user[0], N, item[0], N) != FR_OK ||
        fr_train_ncf_model(tr, &m, NULL) != FR_OK)
        abort();
    fr_train_ncf_free(tr);
    return m;
}

static struct fr_model *mf(void)
{
    struct fr_mf_train_config c;
    struct fr_train_mf *tr = NULL;
    struct fr_model *m = NULL;

    fr_mf_train_config_default(&c);
    c.user = "user";
    c.item = "item";
    c.dim = 3;
    if (fr_train_mf_new(&c, &fs, user[0], N, item[0], N, &tr, NULL) != FR_OK ||
        fr_train_mf_model(tr, &m, NULL) != FR_OK)
        abort();
    fr_train_mf_free(tr);
    return m;
}

static struct fr_model *model(const struct kind *k)
{
    switch (k->kind) {
    case FR_MODEL_TWO_TOWER:
        return tower();
    case FR_MODEL_NEUMF:
    case FR_MODEL_GMF:
    case FR_MODEL_MLP:
        return ncf(k->kind);
    case FR_MODEL_MF:
        return mf();
    default:
        return ctr(k);
    }
}

/* ---- one input ---- */

static const char *path_of(int file)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/b/%s", dir, names[file]);
    return path;
}

static void put(int file, const char *const *part, const size_t *n, int parts)
{
    FILE *f = fopen(path_of(file), "wb");

    if (f == NULL)
        abort();
    for (int i = 0; i < parts; i++)
        if (fwrite(part[i], 1, n[i], f) != n[i])
            abort();
    if (fclose(f) != 0)
        abort();
}

/* The bundle's two files, with the weights' sum put right: only their content is wrong. */
static void write_bundle(const struct kind *k, int changed, const char *copy)
{
    const char *manifest = changed == 0 ? copy : k->file[0], *weights = changed == 1 ? copy : k->file[1];
    const char *at = strstr(k->file[0], "\"crc32\":"), *part[3];
    size_t n[3];
    char sum[16];

    if (at == NULL)
        abort();
    at += strlen("\"crc32\":");
    part[0] = manifest;
    n[0] = changed == 1 ? (size_t)(at - k->file[0]) : k->n[0];
    n[1] = (size_t)snprintf(sum, sizeof(sum), "%u", (unsigned)fr_crc32(0, weights, k->n[1]));
    part[1] = sum;
    part[2] = at + strspn(at, "0123456789");
    n[2] = k->n[0] - (size_t)(part[2] - k->file[0]);
    put(0, part, n, changed == 1 ? 3 : 1);
    put(1, &weights, &k->n[1], 1);
}

/* Scores or an error, both ways, of ids the model has and of one it has not. */
static void use(const struct fr_model *m)
{
    static const struct fr_cell strange[3] = {{1, 1}, {2, 1}, {3, 1}};
    const struct fr_cell *items[2] = {item[0], &strange[0]};
    struct fr_arena *ar = NULL;

    if (fr_arena_new((size_t)1 << 14, 0, &ar) != FR_OK)
        abort();
    for (unsigned i = 0; i < 4; i++) {
        struct fr_model_case c = {i < 2 ? user[1] : strange, hour, items, cross, 2};
        float out[2] = {0, 0}, raw[2] = {0, 0};
        enum fr_err e = fr_model_info(m)->value != FR_VALUE_NONE
                            ? fr_model_score_case_heads(m, &c, i % 2 * FR_SCORE_DETERMINISTIC, ar, out, raw)
                            : fr_model_score_case(m, &c, i % 2 * FR_SCORE_DETERMINISTIC, ar, out);

        if (e == FR_EINTERNAL || (e == FR_OK && (!fr_all_finite(out, 2) || !fr_all_finite(raw, 2))))
            abort();
    }
    fr_arena_free(ar);
}

/* @return true: it was taken */
static bool load(void)
{
    char path[64];
    struct fr_model *m = NULL;
    struct fr_fault fault = {.err = FR_OK};
    enum fr_err e;

    (void)snprintf(path, sizeof(path), "%s/b", dir);
    e = fr_model_load(path, &fs, &m, &fault);
    if (e != FR_OK && (fault.err != e || fault.msg[0] == '\0' || m != NULL))
        abort(); /* a refusal without a reason */
    if (e == FR_OK)
        use(m);
    fr_model_free(m);
    return e == FR_OK;
}

static void make_good(struct kind *k)
{
    struct fr_model *m = model(k);
    struct fr_model_meta meta = {.name = "m", .version = 1, .parent = ""};
    const struct fr_cell *items[2] = {item[0], item[3]};
    struct fr_model_case c = {user[1], hour, items, cross, 2};
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/b", dir);
    if (fr_model_save(m, &meta, &c, 1, path, NULL) != FR_OK)
        abort();
    for (int i = 0; i < 2; i++)
        if (fr_file_read(path_of(i), (size_t)1 << 20, &k->file[i], &k->n[i], NULL) != FR_OK)
            abort();
    fr_model_free(m);
    for (int changed = 0; changed < 2; changed++) {
        write_bundle(k, changed, k->file[changed]);
        if (!load())
            abort(); /* unchanged, it must be taken */
    }
}

static void clean(void)
{
    (void)fr_file_remove_tree(dir, NULL);
}

static void setup(void)
{
    fs.hash = 5;
    if (fr_field_add(&fs, "user", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1) != FR_OK ||
        fr_field_add(&fs, "hist", FR_ENTITY_USER, FR_FIELD_ID, "item", 0, 2) != FR_OK ||
        fr_field_add(&fs, "hour", FR_ENTITY_CONTEXT, FR_FIELD_BUCKET, NULL, 25, 1) != FR_OK ||
        fr_field_add(&fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1) != FR_OK ||
        fr_field_add(&fs, "x", FR_ENTITY_CROSS, FR_FIELD_NUMERIC, NULL, 0, 1) != FR_OK || mkdtemp(dir) == NULL ||
        atexit(clean) != 0)
        abort();
    for (uint64_t i = 0; i < N; i++) {
        user[i][0] = (struct fr_cell){100 + i, 1};
        user[i][1] = (struct fr_cell){500 + i, 1};
        user[i][2] = (struct fr_cell){500 + (i + 1) % N, 0.5f};
        item[i][0] = (struct fr_cell){500 + i, 1};
    }
    for (int i = 0; i < KINDS; i++)
        make_good(&kinds[i]);
}

/* The k-th digit of the manifest's config, modulo their number: a chance byte would seldom be one. */
static size_t digit(const struct kind *k, size_t index)
{
    const char *manifest = k->file[0], *from = strstr(manifest, "\"config\":"), *to;
    size_t n = 0;

    if (from == NULL || (to = strstr(from, "\"weights\":")) == NULL)
        abort();
    for (const char *p = from; p < to; p++)
        n += *p >= '0' && *p <= '9';
    if (n == 0)
        abort();
    index %= n;
    while (*from < '0' || *from > '9' || index-- > 0)
        from++;
    return (size_t)(from - manifest);
}

/* One change: three bytes of the input. */
static void change(const struct kind *k, unsigned what, const uint8_t *edit, char *copy)
{
    size_t at = (size_t)edit[0] << 8 | edit[1];
    uint64_t header = 0;

    memcpy(&header, k->file[1], sizeof(header)); /* its length, little-endian, then the JSON */
    if (what == CONFIG)
        copy[digit(k, at)] = (char)('0' + edit[2] % 10);
    else if (what == HEADER)
        copy[at % (sizeof(header) + (size_t)header)] = (char)edit[2];
    else
        copy[at % k->n[what == WEIGHTS]] = (char)edit[2];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kind *k;
    unsigned what;
    int file;
    char *copy;

    if (size < 1)
        return 0;
    if (fs.n == 0)
        setup();
    k = &kinds[(data[0] & 15) % KINDS];
    what = data[0] & HEADER;
    file = (what & WEIGHTS) != 0;
    copy = fr_malloc_array(k->n[file], 1);
    if (copy == NULL)
        abort();
    memcpy(copy, k->file[file], k->n[file]);
    for (size_t i = 1; i + 2 < size; i += 3)
        change(k, what, data + i, copy);
    write_bundle(k, file, copy);
    (void)load();
    fr_free(copy);
    return 0;
}
