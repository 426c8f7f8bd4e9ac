/*
 * daemon/learn/benchmark_pairs.c - counting sort by user, ascending items, held-out shares.
 */
#include "daemon/learn/benchmark_pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/base/hash.h"

#define MAX_FILE ((size_t)1 << 32)

enum fr_err fr_benchmark_read_file(const char *dir,
                                   const char *file,
                                   char path[FR_BENCHMARK_PATH],
                                   char **text,
                                   size_t *n,
                                   struct fr_fault *fault)
{
    if (snprintf(path, FR_BENCHMARK_PATH, "%s/%s", dir, file) >= FR_BENCHMARK_PATH)
        return fr_fault(fault, FR_EINVAL, "%s: the path is too long", dir);
    return fr_file_read(path, MAX_FILE, text, n, fault);
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Each user's items ascending and once; closes the gaps. */
static void order(struct fr_benchmark_pairs *p)
{
    size_t to = 0, from = 0;

    for (uint32_t u = 0; u < p->users; u++) {
        size_t end = p->start[u + 1], first = to;

        qsort(p->item + from, end - from, sizeof(*p->item), by_id);
        for (; from < end; from++)
            if (to == first || p->item[to - 1] != p->item[from])
                p->item[to++] = p->item[from];
        p->start[u] = first;
    }
    p->start[p->users] = p->n = to;
}

static enum fr_err by_user(const struct fr_benchmark_lists *l, struct fr_benchmark_pairs *out)
{
    size_t n = l->start[l->n];

    for (size_t i = 0; i < l->n; i++)
        out->users = l->user[i] >= out->users ? l->user[i] + 1 : out->users;
    for (size_t k = 0; k < n; k++)
        out->items = l->item[k] >= out->items ? l->item[k] + 1 : out->items;
    out->start = fr_calloc((size_t)out->users + 2, sizeof(*out->start));
    out->item = fr_malloc_array(n + 1, sizeof(*out->item));
    if (out->start == NULL || out->item == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < l->n; i++)
        out->start[l->user[i] + 2] += l->start[i + 1] - l->start[i];
    for (uint32_t u = 0; u < out->users; u++)
        out->start[u + 2] += out->start[u + 1];
    for (size_t i = 0; i < l->n; i++) /* start[u + 1] runs from the beginning of u to its end */
        for (size_t k = l->start[i]; k < l->start[i + 1]; k++)
            out->item[out->start[l->user[i] + 1]++] = l->item[k];
    order(out);
    return FR_OK;
}

enum fr_err fr_benchmark_pairs_read(const char *dir,
                                    const char *file,
                                    enum fr_benchmark_layout layout,
                                    uint32_t users,
                                    uint32_t items,
                                    struct fr_benchmark_pairs *out,
                                    struct fr_fault *fault)
{
    struct fr_benchmark_lists l = {.n = 0};
    char path[FR_BENCHMARK_PATH], *text = NULL;
    size_t n = 0;
    enum fr_err e = fr_benchmark_read_file(dir, file, path, &text, &n, fault);

    if (e == FR_OK && layout == FR_BENCHMARK_PAIRS)
        e = fr_benchmark_read_pairs((struct fr_str){text, n}, path, &l, fault);
    else if (e == FR_OK)
        e = fr_benchmark_read_lists((struct fr_str){text, n}, path, &l, fault);
    fr_free(text);
    out->users = users;
    out->items = items;
    if (e == FR_OK && (e = by_user(&l, out)) != FR_OK)
        e = fr_fault(fault, e, "%s: out of memory", path);
    fr_benchmark_lists_done(&l);
    return e;
}

void fr_benchmark_pairs_done(struct fr_benchmark_pairs *p)
{
    fr_free(p->start);
    fr_free(p->item);
    memset(p, 0, sizeof(*p));
}

bool fr_benchmark_pairs_has(const struct fr_benchmark_pairs *p, uint32_t u, uint32_t i)
{
    if (u >= p->users)
        return false;
    return bsearch(&i, p->item + p->start[u], p->start[u + 1] - p->start[u], sizeof(i), by_id) !=
           NULL;
}

enum fr_err fr_benchmark_pairs_hold_out(struct fr_benchmark_pairs *p,
                                        double share,
                                        size_t least,
                                        struct fr_rng *rng,
                                        struct fr_benchmark_pairs *held)
{
    size_t to = 0, from = 0;

    *held = (struct fr_benchmark_pairs){.users = p->users, .items = p->items};
    held->start = fr_calloc((size_t)p->users + 2, sizeof(*held->start));
    held->item = fr_malloc_array(p->n + 1, sizeof(*held->item));
    if (held->start == NULL || held->item == NULL)
        return FR_ENOMEM;
    for (uint32_t u = 0; u < p->users; u++) {
        uint32_t *item = p->item + from;
        size_t n = p->start[u + 1] - from, k = (size_t)((double)n * share);

        k = k < least && n >= 2 * least ? least : k;
        for (size_t i = 0; i < k; i++) { /* the first k of a random order are held out */
            size_t j = i + (size_t)fr_rng_below(rng, n - i);
            uint32_t t = item[i];

            item[i] = item[j];
            item[j] = t;
            held->item[held->n++] = item[i];
        }
        held->start[u + 1] = held->n;
        memmove(p->item + to, item + k, (n - k) * sizeof(*item));
        from = p->start[u + 1];
        p->start[u] = to;
        to += n - k;
    }
    p->start[p->users] = to;
    order(p);
    order(held);
    return FR_OK;
}

enum fr_err fr_benchmark_pairs_fields(struct fr_field_set **out)
{
    static const char schema[] = "benchmark: user, item";
    struct fr_field_set *fs = fr_calloc(1, sizeof(*fs));
    struct fr_hash_key k = {1, 2};

    if (fs == NULL)
        return FR_ENOMEM;
    if (fr_field_add(fs, "user", FR_ENTITY_USER, FR_FIELD_ID, "user", 0, 1) != FR_OK ||
        fr_field_add(fs, "item", FR_ENTITY_ITEM, FR_FIELD_ID, "item", 0, 1) != FR_OK) {
        fr_free(fs);
        return FR_EINTERNAL;
    }
    fs->hash = fr_siphash(k, fr_str_z(schema));
    *out = fs;
    return FR_OK;
}

enum fr_err fr_benchmark_pairs_time(const struct fr_model *m,
                                    const struct fr_field_set *fs,
                                    uint32_t items,
                                    struct fr_benchmark_detail *detail)
{
    struct fr_cell user = fr_benchmark_cell(0), item[FR_BENCHMARK_CANDIDATES];
    const struct fr_cell *ptr[FR_BENCHMARK_CANDIDATES];
    struct fr_model_case c = {&user, NULL, ptr, NULL, FR_BENCHMARK_CANDIDATES};
    uint32_t n = items == 0 ? 1 : items;

    if (detail == NULL)
        return FR_OK;
    for (uint32_t i = 0; i < FR_BENCHMARK_CANDIDATES; i++) { /* all over the catalogue */
        uint64_t spread = (uint64_t)i * n / FR_BENCHMARK_CANDIDATES;

        item[i] = fr_benchmark_cell(n < FR_BENCHMARK_CANDIDATES ? i % n : (uint32_t)spread);
        ptr[i] = &item[i];
    }
    detail->parameters = fr_model_parameters(m);
    return fr_benchmark_time(m, fs, &c, &detail->speed);
}

/* Of ids [0, n) with a mark: [0] those that the model does not know, [1] all. */
static enum fr_err
count_unknown(const struct fr_model *m, enum fr_entity e, const uint8_t *mark, uint32_t n, unsigned long long count[2])
{
    count[0] = count[1] = 0;
    if (fr_model_info(m)->n_slots[e] != 1) /* a model that does not read it */
        return FR_OK;
    for (uint32_t i = 0; i < n; i++) {
        struct fr_cell cell = fr_benchmark_cell(i);
        struct fr_slot slot = {0, 0};
        enum fr_err err = mark[i] == 0 ? FR_OK : fr_model_encode(m, e, &cell, 1, &slot);

        if (err != FR_OK)
            return err;
        count[0] += mark[i] != 0 && slot.row == 0;
        count[1] += mark[i] != 0;
    }
    return FR_OK;
}

enum fr_err fr_benchmark_pairs_unknown(const struct fr_model *m,
                                       const uint8_t *user,
                                       uint32_t users,
                                       const uint8_t *item,
                                       uint32_t items,
                                       struct fr_benchmark_result *out)
{
    unsigned long long u[2], i[2];
    enum fr_err e = count_unknown(m, FR_ENTITY_USER, user, users, u);

    if (e == FR_OK)
        e = count_unknown(m, FR_ENTITY_ITEM, item, items, i);
    if (e == FR_OK && u[0] + i[0] > 0)
        fr_benchmark_note(out, "the bundle does not know %llu of %llu users and %llu of %llu items that it is measured on",
                          u[0], u[1], i[0], i[1]);
    return e;
}
