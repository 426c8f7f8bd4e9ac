/*
 * models/train/params_rest.c - moments of the missed steps by their first, rows that catch up.
 */
#include "models/train/params_rest.h"

#include <math.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "models/adam_gap.h"

#define LINE (64 / sizeof(float))
#define NEAR (4 * LINE) /* of a row; the processor sees the rest coming */

struct group {
    int table[FR_REST_TABLES], n;
    uint32_t rows;
    uint32_t *seen; /* (rows) counted steps that the row has taken */
};

/* The steps after counted step s, so far. */
struct missed {
    double scale;                         /* of the first of them */
    double moment[FR_ADAM_GAP_TERMS + 1]; /* the last one says what the series leaves out */
};

struct fr_rest {
    struct group group[FR_REST_GROUPS];
    int n_groups, counted;
    float eps;
    int reach;                                           /* steps whose b1^j still counts */
    float step[FR_REST_STEPS], scale[FR_REST_STEPS];     /* of the counted steps */
    struct missed missed[FR_REST_STEPS];                 /* by the counted steps a row has taken */
    double b1[FR_REST_STEPS + 1], b2[FR_REST_STEPS + 1]; /* powers */
    double root2[FR_REST_STEPS + 1];                     /* sqrt(b2)^j */
};

enum fr_err fr_rest_new(const struct fr_train_options *o, struct fr_rest **out)
{
    struct fr_rest *r = fr_calloc(1, sizeof(*r));

    if (r == NULL)
        return FR_ENOMEM;
    r->eps = o->eps;
    for (int j = 0; j <= FR_REST_STEPS; j++) {
        r->b1[j] = pow((double)o->beta1, j);
        r->b2[j] = pow((double)o->beta2, j);
        r->root2[j] = sqrt(r->b2[j]);
        if (r->b1[j] >= 0x1p-32)
            r->reach = j;
    }
    *out = r;
    return FR_OK;
}

void fr_rest_free(struct fr_rest *r)
{
    if (r == NULL)
        return;
    for (int i = 0; i < r->n_groups; i++)
        fr_free(r->group[i].seen);
    fr_free(r);
}

enum fr_err
fr_rest_add(struct fr_rest *r, const struct fr_params *p, const int *table, int n, int *out_group)
{
    struct group g = {.n = n};

    if (r->n_groups == FR_REST_GROUPS)
        return FR_EFULL;
    if (n < 1 || n > FR_REST_TABLES)
        return FR_EINVAL;
    g.rows = p->table[table[0]].rows;
    for (int i = 0; i < n; i++) {
        g.table[i] = table[i];
        if (p->table[table[i]].rows != g.rows)
            return FR_EINVAL;
    }
    g.seen = fr_calloc((size_t)g.rows + 1, sizeof(*g.seen));
    if (g.seen == NULL)
        return FR_ENOMEM;
    for (uint32_t i = 0; i < g.rows; i++)
        g.seen[i] = (uint32_t)r->counted;
    *out_group = r->n_groups;
    r->group[r->n_groups++] = g;
    return FR_OK;
}

/* The sum term by term; m and v as fr_adam_gap_update(). */
static void one_by_one(const struct fr_rest *r, int from, size_t n, float *w, const float *m, const float *v)
{
    int k = r->counted - from < r->reach ? r->counted - from : r->reach;

    for (size_t i = 0; i < n; i++) {
        double root = sqrt((double)v[i]), sum = 0;

        if (m[i] == 0)
            continue;
        for (int j = 1; j <= k; j++)
            sum += (double)r->step[from + j - 1] * r->b1[j] /
                   (root * (double)r->scale[from + j - 1] * r->root2[j] + (double)r->eps);
        w[i] -= (float)((double)m[i] * sum);
    }
}

void fr_rest_row(struct fr_rest *r, struct fr_params *p, int group, uint32_t row)
{
    struct group *g = &r->group[group];
    int from = (int)g->seen[row], k = r->counted - from;

    if (k == 0)
        return;
    const struct missed *s = &r->missed[from];
    struct fr_adam_gap a = {.scale = (float)s->scale,
                            .eps = r->eps,
                            .keep_m = r->b1[k] < 0x1p-100 ? 0.0f : (float)r->b1[k],
                            .keep_v = (float)r->b2[k]};
    bool series = fabs(s->moment[FR_ADAM_GAP_TERMS]) <= 0x1p-26 * s->moment[0];
    for (int n = 0; n < FR_ADAM_GAP_TERMS && series; n++)
        a.moment[n] = (float)s->moment[n];
    for (int i = 0; i < g->n; i++) {
        struct fr_table *t = &p->table[g->table[i]];
        size_t dim = (size_t)t->dim, at = (size_t)row * dim;

        if (!series)
            one_by_one(r, from, dim, t->w + at, t->m + at, t->v + at);
        fr_adam_gap_update(&a, dim, t->w + at, t->m + at, t->v + at); /* no moments: w stays */
    }
    g->seen[row] = (uint32_t)r->counted;
}

void fr_rest_expect(const struct fr_rest *r, const struct fr_params *p, int group, uint32_t row)
{
    const struct group *g = &r->group[group];

    for (int i = 0; i < g->n; i++) {
        const struct fr_table *t = &p->table[g->table[i]];
        size_t dim = (size_t)t->dim, at = (size_t)row * dim;

        for (size_t d = 0; d < dim && d < NEAR; d += LINE) {
            __builtin_prefetch(t->w + at + d, 1);
            __builtin_prefetch(t->m + at + d, 1);
            __builtin_prefetch(t->v + at + d, 1);
        }
    }
}

static void count(struct fr_rest *r, float step, float scale)
{
    int now = r->counted++; /* rows that took `from` steps missed steps from + 1 .. now + 1 */

    r->step[now] = step;
    r->scale[now] = scale;
    r->missed[now] = (struct missed){.scale = (double)scale * r->root2[1]};
    for (int from = now + 1 > r->reach ? now + 1 - r->reach : 0; from <= now; from++) {
        struct missed *s = &r->missed[from];
        int j = now + 1 - from;
        double x = (double)scale * r->root2[j] / s->scale - 1, term = (double)step * r->b1[j];

        for (int n = 0; n <= FR_ADAM_GAP_TERMS; n++, term *= x)
            s->moment[n] += term;
    }
}

void fr_rest_count(struct fr_rest *r, const struct fr_step *a)
{
    count(r, a->lr, a->inv_sc2);
}

/* What came in must be what count() could have left. */
static bool sound(const struct fr_rest *r, int counted)
{
    for (int i = 0; i < counted; i++)
        if (!fr_is_finite(r->step[i]) || !(r->scale[i] >= 1) || !fr_is_finite(r->scale[i]))
            return false;
    for (int i = 0; i < r->n_groups; i++)
        for (uint32_t row = 0; row < r->group[i].rows; row++)
            if (r->group[i].seen[row] > (uint32_t)counted)
                return false;
    return true;
}

void fr_rest_checkpoint(struct fr_rest *r, struct fr_checkpoint *ck)
{
    static const char *const key[FR_REST_GROUPS] = {"rest.seen.0", "rest.seen.1"};
    int counted = r->counted;

    fr_checkpoint_int(ck, "rest.counted", &counted, 0, FR_REST_STEPS);
    fr_checkpoint_f32s(ck, "rest.step", r->step, FR_REST_STEPS, 1);
    fr_checkpoint_f32s(ck, "rest.scale", r->scale, FR_REST_STEPS, 1);
    for (int i = 0; i < r->n_groups; i++)
        fr_checkpoint_u32s(ck, key[i], r->group[i].seen, r->group[i].rows);
    if (!fr_checkpoint_loading(ck) || fr_checkpoint_err(ck) != FR_OK)
        return;
    if (!sound(r, counted)) {
        fr_checkpoint_fail(ck, FR_ERANGE, "rest", "a step or a row's steps out of range");
        return;
    }
    for (r->counted = 0; r->counted < counted;)
        count(r, r->step[r->counted], r->scale[r->counted]);
}

void fr_rest_moved(struct fr_rest *r, int group, uint32_t row)
{
    r->group[group].seen[row] = (uint32_t)r->counted;
}

int fr_rest_pending(const struct fr_rest *r)
{
    return r->counted;
}

void fr_rest_settle_part(struct fr_rest *r, struct fr_params *p, int part, int parts)
{
    for (int i = 0; i < r->n_groups; i++)
        for (uint32_t row = (uint32_t)part; row < r->group[i].rows; row += (uint32_t)parts)
            fr_rest_row(r, p, i, row);
}

void fr_rest_settled(struct fr_rest *r)
{
    r->counted = 0;
    for (int i = 0; i < r->n_groups; i++)
        memset(r->group[i].seen, 0, r->group[i].rows * sizeof(*r->group[i].seen));
}
