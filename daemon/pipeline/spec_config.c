/*
 * daemon/pipeline/spec_config.c - see spec_config.h.
 */
#include "daemon/pipeline/spec_config.h"

#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/config.h"
#include "features/spec.h"

#define IMPRESSIONS "impressions"

static bool listed(const struct fr_config_list *l, const char *s)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->v[i], s) == 0)
            return true;
    return false;
}

static void fill_type(const struct fr_config *cfg, const char *name, struct fr_type_input *t)
{
    bool shown = strcmp(name, IMPRESSIONS) == 0 || strcmp(name, "impression") == 0;
    bool positive = !shown && listed(&cfg->events_positive, name);

    memset(t, 0, sizeof(*t));
    t->name = fr_str_z(name);
    t->positive = positive ? 1.0 : 0.0;
    t->history = positive;
    t->seen = positive;
    t->trigger = listed(&cfg->recommend_on, name);
    t->shown = shown;
}

enum fr_err
fr_spec_from_config(const struct fr_config *cfg, struct fr_spec **out_spec, struct fr_fault *fault)
{
    struct fr_type_input types[FR_MAX_EVENT_TYPES];
    struct fr_str lines[FR_MAX_FIELDS];
    struct fr_spec_input in;
    bool has_impressions = listed(&cfg->events_types, IMPRESSIONS);
    int n = cfg->events_types.n;

    if (n + (has_impressions ? 0 : 1) > FR_MAX_EVENT_TYPES)
        return fr_fault(fault, FR_EFULL, "events.types: at most %d types", FR_MAX_EVENT_TYPES - 1);
    if (cfg->features_lines.n > FR_MAX_FIELDS)
        return fr_fault(fault, FR_EFULL, "features.lines: at most %d lines", FR_MAX_FIELDS);
    fr_spec_input_default(&in);
    for (int i = 0; i < n; i++)
        fill_type(cfg, cfg->events_types.v[i], &types[i]);
    if (!has_impressions)
        fill_type(cfg, IMPRESSIONS, &types[n++]);
    in.types = types;
    in.n_types = n;
    if (cfg->features_lines.n > 0) {
        for (int i = 0; i < cfg->features_lines.n; i++)
            lines[i] = fr_str_z(cfg->features_lines.v[i]);
        in.features = lines;
        in.n_features = cfg->features_lines.n;
    }
    in.hash_secret = fr_str_z(cfg->features_key);
    in.user_half_life_ms[0] = cfg->features_user_half_life_short_ms;
    in.user_half_life_ms[1] = cfg->features_user_half_life_long_ms;
    in.item_half_life_ms[0] = cfg->features_item_half_life_short_ms;
    in.item_half_life_ms[1] = cfg->features_item_half_life_long_ms;
    in.dedup_window = (uint32_t)cfg->events_dedup_window;
    in.history_length = (uint32_t)cfg->features_history;
    in.seen_cap = cfg->recommend_repeat == FR_REPEAT_FOREVER ? (uint32_t)cfg->features_seen : 0;
    in.ttl_ms = cfg->state_ttl_ms;
    in.max_future_ms = cfg->events_max_future_ms;
    in.min_interval_ms = cfg->recommend_min_interval_ms;
    in.item_tick_ms = cfg->state_tick_ms;
    in.popular_top = (uint32_t)(cfg->recommend_popular + cfg->recommend_n + cfg->features_history);
    in.popular_half_life = 0;
    return fr_spec_compile(&in, out_spec, fault);
}
