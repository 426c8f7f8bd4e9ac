#include "features/spec.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/base/buf.h"
#include "features/spec_feature.h"

static bool type_name_ok(struct fr_str s)
{
    if (s.n == 0 || s.n > 32)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '.' || c == '-'))
            return false;
    }
    return !fr_str_eqz(s, "any") && !fr_str_eqz(s, "positive") && !fr_str_eqz(s, "shown");
}

static enum fr_err
compile_types(struct fr_spec *spec, const struct fr_spec_input *in, struct fr_fault *f)
{
    if (in->n_types < 1 || in->n_types > FR_MAX_EVENT_TYPES)
        return fr_fault(f,
                        FR_ERANGE,
                        "event types: %d given, 1 to %d allowed",
                        in->n_types,
                        FR_MAX_EVENT_TYPES);
    for (int i = 0; i < in->n_types; i++) {
        const struct fr_type_input *t = &in->types[i];
        struct fr_type *out = &spec->type[i];
        if (!type_name_ok(t->name))
            return fr_fault(
                f,
                FR_EINVAL,
                "event type %d: a name is 1 to 32 of A-Z a-z 0-9 _ . - and not \"any\", "
                "\"positive\" or \"shown\"",
                i + 1);
        if (fr_spec_type(spec, t->name) >= 0)
            return fr_fault(f, FR_EDUPLICATE, "event type \"%.*s\" twice", FR_STR_ARG(t->name));
        if (!(t->positive >= 0 && t->positive <= 1e6))
            return fr_fault(f,
                            FR_ERANGE,
                            "event type \"%.*s\": positive weight must be 0 to 1e6",
                            FR_STR_ARG(t->name));
        memcpy(out->name, t->name.p, t->name.n);
        out->name[t->name.n] = '\0';
        out->positive = t->positive;
        out->has_min_value = t->has_min_value;
        out->min_value = t->has_min_value ? t->min_value : 0;
        out->history = t->history;
        out->seen = t->seen;
        out->trigger = t->trigger;
        out->shown = t->shown;
        spec->n_types = i + 1;
    }
    return FR_OK;
}

static enum fr_err
check_range(struct fr_fault *f, const char *what, int64_t v, int64_t lo, int64_t hi)
{
    if (v >= lo && v <= hi)
        return FR_OK;
    return fr_fault(f,
                    FR_ERANGE,
                    "%s is %lld, allowed %lld to %lld",
                    what,
                    (long long)v,
                    (long long)lo,
                    (long long)hi);
}

static enum fr_err
copy_settings(struct fr_spec *spec, const struct fr_spec_input *in, struct fr_fault *f)
{
    const int64_t year = INT64_C(366) * 86400000;
    const struct {
        const char *what;
        int64_t v, lo, hi;
    } rows[] = {
        {"user half-life 1 (ms)", in->user_half_life_ms[0], 1000, 10 * year},
        {"user half-life 2 (ms)", in->user_half_life_ms[1], 1000, 10 * year},
        {"item half-life 1 (ms)", in->item_half_life_ms[0], 1000, 10 * year},
        {"item half-life 2 (ms)", in->item_half_life_ms[1], 1000, 10 * year},
        {"dedup window", in->dedup_window, 0, FR_MAX_DEDUP},
        {"history length", in->history_length, 1, FR_MAX_HISTORY},
        {"seen cap", in->seen_cap, 0, FR_MAX_SEEN},
        {"ttl (ms)", in->ttl_ms, 0, 100 * year},
        {"max_future (ms)", in->max_future_ms, 0, 100 * year},
        {"min_interval (ms)", in->min_interval_ms, 0, 10 * year},
        {"item tick (ms)", in->item_tick_ms, 1, year},
        {"popular list length", in->popular_top, 0, 100000},
        {"popular half-life", in->popular_half_life, 0, FR_HALF_LIVES - 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum fr_err e = check_range(f, rows[i].what, rows[i].v, rows[i].lo, rows[i].hi);
        if (e != FR_OK)
            return e;
    }
    if (in->user_half_life_ms[0] == in->user_half_life_ms[1] ||
        in->item_half_life_ms[0] == in->item_half_life_ms[1])
        return fr_fault(f, FR_EINVAL, "the two half-lives of users (and of items) must differ");
    memcpy(spec->user_half_life_ms, in->user_half_life_ms, sizeof spec->user_half_life_ms);
    memcpy(spec->item_half_life_ms, in->item_half_life_ms, sizeof spec->item_half_life_ms);
    spec->dedup_window = in->dedup_window;
    spec->history_length = in->history_length;
    spec->seen_cap = in->seen_cap;
    spec->ttl_ms = in->ttl_ms;
    spec->max_future_ms = in->max_future_ms;
    spec->min_interval_ms = in->min_interval_ms;
    spec->item_tick_ms = in->item_tick_ms;
    spec->popular_top = in->popular_top;
    spec->popular_half_life = in->popular_half_life;
    spec->key = fr_hash_key_from(in->hash_secret);
    return FR_OK;
}

/* ---- schema hash: a canonical text of everything a cell's meaning depends on, under the id key
 * ---- */

static enum fr_err schema_hash(struct fr_spec *spec)
{
    struct fr_buf b = {0};
    fr_buf_printf(&b,
                  "freshet.schema.1 hist=%u tick=%lld",
                  (unsigned)spec->history_length,
                  (long long)spec->item_tick_ms);
    for (int k = 0; k < FR_HALF_LIVES; k++)
        fr_buf_printf(&b,
                      " uhl=%lld ihl=%lld",
                      (long long)spec->user_half_life_ms[k],
                      (long long)spec->item_half_life_ms[k]);
    for (int i = 0; i < spec->n_types; i++)
        fr_buf_printf(&b,
                      "\ntype %s hist=%d seen=%d",
                      spec->type[i].name,
                      spec->type[i].history,
                      spec->type[i].seen);
    for (int i = 0; i < spec->n_feat; i++) {
        const struct fr_feature *ft = &spec->feat[i];
        const struct fr_field *fd = &spec->fields.f[ft->field];
        fr_buf_printf(&b,
                      "\n%s %s %s %s table=%s vocab=%u slots=%u types=%x of=%x hl=%d n=%u what=%d",
                      fd->name,
                      fr_kind_name(ft->kind),
                      fr_entity_name(fd->entity),
                      fr_field_kind_name(fd->kind),
                      fd->table,
                      (unsigned)fd->vocab,
                      (unsigned)fd->slots,
                      (unsigned)ft->types,
                      (unsigned)ft->of,
                      ft->half_life,
                      (unsigned)ft->n,
                      ft->what);
        char num[32];
        fr_buf_put(&b, " p=", 3);
        fr_buf_put(&b, num, fr_f64_to_str(ft->prior, num));
        fr_buf_put(&b, " s=", 3);
        fr_buf_put(&b, num, fr_f64_to_str(ft->strength, num));
    }
    enum fr_err e = fr_buf_err(&b);
    if (e == FR_OK)
        spec->fields.hash = fr_siphash(spec->key, fr_buf_str(&b));
    fr_buf_done(&b);
    return e;
}

enum fr_err
fr_spec_compile(const struct fr_spec_input *in, struct fr_spec **out_spec, struct fr_fault *fault)
{
    struct fr_spec *spec = fr_calloc(1, sizeof *spec);
    if (spec == NULL)
        return fr_fault(fault, FR_ENOMEM, "no memory for the feature declaration");
    enum fr_err e = copy_settings(spec, in, fault);
    if (e == FR_OK)
        e = compile_types(spec, in, fault);
    for (int i = 0; e == FR_OK && i < in->n_features; i++)
        e = fr_spec_add_feature(spec, in->features[i], i + 1, fault);
    if (e == FR_OK && spec->n_feat == 0)
        e = fr_fault(fault, FR_EINVAL, "features: no feature is declared");
    if (e == FR_OK) {
        e = schema_hash(spec);
        if (e != FR_OK)
            e = fr_fault(fault, e, "no memory for the schema hash");
    }
    if (e != FR_OK) {
        fr_spec_free(spec);
        return e;
    }
    *out_spec = spec;
    return FR_OK;
}

void fr_spec_free(struct fr_spec *spec)
{
    fr_free(spec);
}

int fr_spec_type(const struct fr_spec *spec, struct fr_str name)
{
    for (int i = 0; i < spec->n_types; i++)
        if (fr_str_eqz(name, spec->type[i].name))
            return i;
    return -1;
}

double fr_spec_positive(const struct fr_spec *spec, const struct fr_event *ev)
{
    if (ev->type < 0 || ev->type >= spec->n_types)
        return 0;
    const struct fr_type *t = &spec->type[ev->type];
    if (t->has_min_value && (!ev->has_value || ev->value < t->min_value))
        return 0;
    return t->positive;
}

bool fr_spec_field_static(const struct fr_spec *spec, int field)
{
    if (field < 0 || field >= spec->n_feat || spec->feat[field].entity != FR_ENTITY_ITEM)
        return false;
    enum fr_kind k = spec->feat[field].kind;
    return k == FR_KIND_ITEM_ID || k == FR_KIND_ATTRIBUTE || k == FR_KIND_TITLE_WORDS;
}
