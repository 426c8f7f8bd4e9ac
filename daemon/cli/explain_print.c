/*
 * daemon/cli/explain_print.c - see explain_print.h.
 */
#include "daemon/cli/explain_print.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/json.h"
#include "models/nn.h"

#define LOOKS 5 /* of a head's attention, at most */
#define TEXT 160

/* ---- the table ---- */

enum term_kind { TERM_BIAS, TERM_LINEAR, TERM_PAIR, TERM_DEEP, TERM_ATTENTION, TERM_TOWERS };
static const char *const term_name[] = {"bias", "linear", "pair", "deep", "attention", "cosine / tau"};

struct term {
    double v;
    enum term_kind kind;
    int a, b; /* fields; -1 = none */
};

static int by_strength(const void *left, const void *right)
{
    const struct term *l = left, *r = right;
    double x = fabs(l->v), y = fabs(r->v);

    if (x < y || x > y)
        return x < y ? 1 : -1;
    if (l->kind != r->kind)
        return l->kind < r->kind ? -1 : 1;
    if (l->a != r->a)
        return l->a < r->a ? -1 : 1;
    return (l->b > r->b) - (l->b < r->b);
}

static void put(struct term *t, size_t *n, double v, enum term_kind kind, int a, int b)
{
    if (v < 0 || v > 0)
        t[(*n)++] = (struct term){v, kind, a, b};
}

/* Terms that are not 0, strongest first. */
static struct term *terms(const struct fr_explanation *x, struct fr_arena *ar, size_t *out_n)
{
    size_t f = (size_t)x->n_fields, n = 0;
    struct term *t = fr_arena_array(ar, f * f + 2 * f + 3, sizeof(*t));

    if (t == NULL)
        return NULL;
    put(t, &n, x->bias, TERM_BIAS, -1, -1);
    put(t, &n, x->deep, TERM_DEEP, -1, -1);
    put(t, &n, x->towers, TERM_TOWERS, -1, -1);
    for (int a = 0; a < x->n_fields; a++) {
        put(t, &n, x->field[a].linear, TERM_LINEAR, a, -1);
        put(t, &n, x->field[a].attention, TERM_ATTENTION, a, -1);
        for (int b = a + 1; b < x->n_fields && x->pair != NULL; b++)
            put(t, &n, x->pair[(size_t)a * f + (size_t)b], TERM_PAIR, a, b);
    }
    qsort(t, n, sizeof(*t), by_strength);
    *out_n = n;
    return t;
}

static bool used(const struct fr_explained_field *f, int slot)
{
    const struct fr_cell *c = &f->cell[slot];

    return f->kind == FR_FIELD_NUMERIC || c->id != 0 || c->x < 0 || c->x > 0;
}

/* What features said and, where it is another thing, what the model made of it. */
static void value_text(const struct fr_explained_field *f, char out[TEXT])
{
    const struct fr_cell *c = f->cell;
    char factor[32] = "";
    int n = 0, unknown = 0;

    if (f->kind != FR_FIELD_NUMERIC && (c->x < 1 || c->x > 1))
        (void)snprintf(factor, sizeof(factor), ", x %.4g", (double)c->x);
    for (int i = 0; i < f->slots; i++) {
        n += used(f, i);
        unknown += used(f, i) && f->kind != FR_FIELD_NUMERIC && f->slot[i].row == 0;
    }
    if (f->slots > 1)
        (void)snprintf(out, TEXT, "%d of %d values, %d unknown", n, f->slots, unknown);
    else if (n == 0)
        (void)snprintf(out, TEXT, "absent");
    else if (f->kind == FR_FIELD_NUMERIC)
        (void)snprintf(out, TEXT, "%.6g (read as %.4g)", (double)c->x, (double)f->slot->x);
    else if (f->kind == FR_FIELD_BUCKET)
        (void)snprintf(out, TEXT, "bucket %llu%s%s", (unsigned long long)c->id, unknown > 0 ? " (unknown)" : "", factor);
    else
        (void)snprintf(out, TEXT, "id %016llx%s%s", (unsigned long long)c->id, unknown > 0 ? " (unknown)" : "", factor);
}

static void put_term(const struct fr_explanation *x, const struct term *t, FILE *out)
{
    char names[2 * FR_FIELD_NAME + 4] = "", value[TEXT] = "", other[TEXT] = "";

    if (t->b >= 0) {
        (void)snprintf(names, sizeof(names), "%s x %s", x->field[t->a].name, x->field[t->b].name);
        value_text(&x->field[t->a], value);
        value_text(&x->field[t->b], other);
    } else if (t->a >= 0) {
        (void)snprintf(names, sizeof(names), "%s", x->field[t->a].name);
        value_text(&x->field[t->a], value);
    }
    fprintf(out, "  %+12.5f  %-12s", t->v, term_name[t->kind]);
    if (names[0] != '\0')
        fprintf(out, "  %-40s  %s%s%s", names, value, t->b >= 0 ? "; " : "", other);
    fprintf(out, "\n");
}

/* The strongest looks of one head: repeated search, LOOKS is small. */
static void put_head(const struct fr_explanation *x, int layer, int head, int top, FILE *out)
{
    const float *p = fr_explained_head(x, layer, head);
    int n = x->n_fields * x->n_fields, taken[LOOKS], count = top < LOOKS ? top : LOOKS;

    if (count > n)
        count = n;
    fprintf(out, "  layer %d head %d", layer, head);
    for (int k = 0; k < count; k++) {
        int best = -1;

        for (int i = 0; i < n; i++) {
            bool seen = false;
            for (int j = 0; j < k; j++)
                seen = seen || taken[j] == i;
            if (!seen && (best < 0 || p[i] > p[best]))
                best = i;
        }
        taken[k] = best;
        fprintf(out,
                "%s  %s -> %s %.3f",
                k == 0 ? "" : " ",
                x->field[best / x->n_fields].name,
                x->field[best % x->n_fields].name,
                (double)p[best]);
    }
    fprintf(out, "\n");
}

static void put_part(const char *name, double v, bool there, FILE *out)
{
    if (there)
        fprintf(out, "  %+12.5f  %s\n", v, name);
}

/* The second head: its own sum, of no term of the table above. */
static void put_value(const struct fr_model_info *m, const struct fr_explanation *x, FILE *out)
{
    const struct fr_explained_value *v = &x->value;

    if (v->kind == FR_VALUE_NONE)
        return;
    fprintf(out,
            "Value head (%s), raw %.5f, says %.6g; the list's score is p^a v^b with p the %s:\n",
            fr_value_kind_name(v->kind),
            (double)v->raw,
            v->said,
            m->share ? "share of the list" : "sigmoid");
    put_part("bias", v->bias, true, out);
    put_part("deep (MLP)", v->deep, v->deep < 0 || v->deep > 0, out);
    for (int i = 0; i < x->n_fields && x->layers > 0; i++)
        fprintf(out, "  %+12.5f  %-12s  %s\n", x->field[i].value_attention, "attention", x->field[i].name);
    fprintf(out, "  %+12.5f  sum\n\n", v->sum);
}

enum fr_err fr_explain_table(const struct fr_explain_source *src,
                             const struct fr_explanation *x,
                             int top,
                             struct fr_arena *ar,
                             FILE *out)
{
    const struct fr_model_info *m = src->model;
    size_t n = 0;
    struct term *t = terms(x, ar, &n);
    bool linear = false;

    if (t == NULL)
        return FR_ENOMEM;
    for (size_t i = 0; i < n; i++)
        linear = linear || t[i].kind == TERM_LINEAR;
    fprintf(out, "%s@%llu (%s), ", m->name, (unsigned long long)m->version, fr_model_kind_name(x->kind));
    if (src->file == NULL)
        fprintf(out, "self-test case %d, candidate %d", src->test, src->candidate);
    else
        fprintf(out,
                "%s:%llu, user %.*s, row %d, item %.*s",
                src->file,
                (unsigned long long)src->line,
                FR_STR_ARG(src->user_id),
                src->candidate,
                FR_STR_ARG(src->item_id));
    fprintf(out, ": logit %.5f, sigmoid %.5f\n\n", (double)x->logit, (double)fr_nn_sigmoid(x->logit));
    put_part("bias", x->bias, x->kind != FR_MODEL_TWO_TOWER, out);
    put_part("linear, all fields", fr_explained_linear(x), linear, out);
    put_part("pairs, all", fr_explained_pairs(x), x->pair != NULL, out);
    put_part("deep (MLP)", x->deep, x->deep < 0 || x->deep > 0, out);
    put_part("attention, all fields", fr_explained_attention(x), x->layers > 0, out);
    if (x->kind == FR_MODEL_TWO_TOWER)
        fprintf(out, "  %+12.5f  cosine %.5f times 1 / tau %.5g\n", x->towers, x->cosine, x->inv_tau);
    fprintf(out, "  %+12.5f  sum\n\n", x->sum);
    put_value(m, x, out);
    fprintf(out, "Strongest %zu of %zu terms:\n", n < (size_t)top ? n : (size_t)top, n);
    for (size_t i = 0; i < n && i < (size_t)top; i++)
        put_term(x, &t[i], out);
    if (x->layers > 0)
        fprintf(out, "\nAttention, what a field looks at:\n");
    for (int l = 0; l < x->layers; l++)
        for (int h = 0; h < x->heads; h++)
            put_head(x, l, h, top, out);
    fprintf(out, "\n");
    return FR_OK;
}

/* ---- JSON ---- */

static void json_number(struct fr_jsonw *w, const char *key, double v)
{
    fr_jsonw_key(w, key);
    fr_jsonw_f64(w, v);
}

static void json_string(struct fr_jsonw *w, const char *key, const char *z)
{
    fr_jsonw_key(w, key);
    fr_jsonw_z(w, z);
}

/* Used slots: {"id" or "bucket", "x", "row", "read"}. */
static void json_values(struct fr_jsonw *w, const struct fr_explained_field *f)
{
    fr_jsonw_key(w, "values");
    fr_jsonw_array(w);
    for (int i = 0; i < f->slots; i++) {
        char hex[17];

        if (!used(f, i))
            continue;
        fr_jsonw_object(w);
        if (f->kind == FR_FIELD_ID) {
            (void)snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)f->cell[i].id);
            json_string(w, "id", hex);
        } else if (f->kind == FR_FIELD_BUCKET) {
            fr_jsonw_key(w, "bucket");
            fr_jsonw_u64(w, f->cell[i].id);
        }
        fr_jsonw_key(w, "x");
        fr_jsonw_f32(w, f->cell[i].x);
        fr_jsonw_key(w, "row");
        fr_jsonw_i64(w, f->slot[i].row);
        fr_jsonw_key(w, "read");
        fr_jsonw_f32(w, f->slot[i].x);
        fr_jsonw_end(w, '}');
    }
    fr_jsonw_end(w, ']');
}

static void json_value_head(struct fr_jsonw *w, const struct fr_model_info *m, const struct fr_explanation *x)
{
    const struct fr_explained_value *v = &x->value;

    if (v->kind == FR_VALUE_NONE)
        return;
    fr_jsonw_key(w, "value");
    fr_jsonw_object(w);
    json_string(w, "target", fr_value_kind_name(v->kind));
    json_string(w, "click", m->share ? "share" : "sigmoid");
    json_number(w, "bias", v->bias);
    json_number(w, "deep", v->deep);
    json_number(w, "attention", fr_explained_value_attention(x));
    json_number(w, "sum", v->sum);
    fr_jsonw_key(w, "raw");
    fr_jsonw_f32(w, v->raw);
    json_number(w, "said", v->said);
    fr_jsonw_end(w, '}');
}

static void json_fields(struct fr_jsonw *w, const struct fr_explanation *x)
{
    fr_jsonw_key(w, "fields");
    fr_jsonw_array(w);
    for (int i = 0; i < x->n_fields; i++) {
        const struct fr_explained_field *f = &x->field[i];

        fr_jsonw_object(w);
        json_string(w, "name", f->name);
        json_string(w, "entity", fr_entity_name(f->entity));
        json_string(w, "kind", fr_field_kind_name(f->kind));
        fr_jsonw_key(w, "slots");
        fr_jsonw_i64(w, f->slots);
        json_number(w, "linear", f->linear);
        json_number(w, "attention", f->attention);
        if (x->value.kind != FR_VALUE_NONE)
            json_number(w, "value_attention", f->value_attention);
        json_values(w, f);
        fr_jsonw_end(w, '}');
    }
    fr_jsonw_end(w, ']');
    fr_jsonw_key(w, "pair_terms");
    fr_jsonw_array(w);
    for (int a = 0; a < x->n_fields && x->pair != NULL; a++)
        for (int b = a + 1; b < x->n_fields; b++) {
            fr_jsonw_array(w);
            fr_jsonw_z(w, x->field[a].name);
            fr_jsonw_z(w, x->field[b].name);
            fr_jsonw_f64(w, x->pair[a * x->n_fields + b]);
            fr_jsonw_end(w, ']');
        }
    fr_jsonw_end(w, ']');
}

/* [layer][head][field][field it looks at], fields in the order of "fields" */
static void json_attention(struct fr_jsonw *w, const struct fr_explanation *x)
{
    fr_jsonw_key(w, "attention_weights");
    fr_jsonw_array(w);
    for (int l = 0; l < x->layers; l++) {
        fr_jsonw_array(w);
        for (int h = 0; h < x->heads; h++) {
            const float *p = fr_explained_head(x, l, h);

            fr_jsonw_array(w);
            for (int i = 0; i < x->n_fields; i++) {
                fr_jsonw_array(w);
                for (int j = 0; j < x->n_fields; j++)
                    fr_jsonw_f32(w, *p++);
                fr_jsonw_end(w, ']');
            }
            fr_jsonw_end(w, ']');
        }
        fr_jsonw_end(w, ']');
    }
    fr_jsonw_end(w, ']');
}

static void json_source(struct fr_jsonw *w, const struct fr_explain_source *src)
{
    json_string(w, "model", src->model->name);
    fr_jsonw_key(w, "version");
    fr_jsonw_u64(w, src->model->version);
    json_string(w, "kind", fr_model_kind_name(src->model->kind));
    if (src->file != NULL) {
        json_string(w, "file", src->file);
        fr_jsonw_key(w, "line");
        fr_jsonw_u64(w, src->line);
        fr_jsonw_key(w, "user_id");
        fr_jsonw_str(w, src->user_id);
        fr_jsonw_key(w, "item_id");
        fr_jsonw_str(w, src->item_id);
    } else {
        fr_jsonw_key(w, "case");
        fr_jsonw_i64(w, src->test);
    }
    fr_jsonw_key(w, "candidate");
    fr_jsonw_i64(w, src->candidate);
}

enum fr_err
fr_explain_json(const struct fr_explain_source *src, const struct fr_explanation *x, FILE *out)
{
    struct fr_buf b;
    struct fr_jsonw w;

    fr_buf_init(&b);
    fr_jsonw_init(&w, &b);
    fr_jsonw_object(&w);
    json_string(&w, "schema", "freshet.explanation.v1");
    json_source(&w, src);
    fr_jsonw_key(&w, "logit");
    fr_jsonw_f32(&w, x->logit);
    fr_jsonw_key(&w, "score");
    fr_jsonw_f32(&w, fr_nn_sigmoid(x->logit));
    json_number(&w, "bias", x->bias);
    json_number(&w, "linear", fr_explained_linear(x));
    json_number(&w, "pairs", fr_explained_pairs(x));
    json_number(&w, "deep", x->deep);
    json_number(&w, "attention", fr_explained_attention(x));
    json_number(&w, "towers", x->towers);
    if (x->kind == FR_MODEL_TWO_TOWER) {
        json_number(&w, "cosine", x->cosine);
        json_number(&w, "inv_tau", x->inv_tau);
    }
    json_number(&w, "sum", x->sum);
    json_value_head(&w, src->model, x);
    json_fields(&w, x);
    json_attention(&w, x);
    fr_jsonw_end(&w, '}');
    fr_buf_putc(&b, '\n');
    enum fr_err e = fr_buf_err(&b);
    if (e == FR_OK)
        (void)fwrite(b.p, 1, b.n, out);
    fr_buf_done(&b);
    return e;
}
