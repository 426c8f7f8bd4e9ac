/*
 * features/spec.h - the compiled declaration of event types, state and features.
 *
 * One line a feature, `name = kind(arg=value, ...)`; the same declaration drives the state update,
 * the row that is trained on and the row that is served. Grammar (white space is free):
 *
 *   line  = name "=" kind "(" [ arg "=" value { "," arg "=" value } ] ")"
 *   name  = [a-z_][a-z0-9_]*             value = word | number | duration | word "|" word ...
 *   duration = number ("ms"|"s"|"m"|"h"|"d")
 *
 *   kind             entity   cells                               arguments (default)
 *   user_id          user     1 ID, table user
 *   event_count      user     1, how many events the user has     as (bucket)
 *   decayed_count    user     1, decayed count of the types       entity (user), type (any),
 * half_life (first), as item     1, the same over all users          entity=item recency user 1,
 * time since the newest event      type (any), as first_seen       user     1, time since the first
 * event       entity (user), as item     1, the same over all users          entity=item history
 * user     n ID, table item, x = (1/k)/sum     n (50), types (any) context          context  1
 * field = hour | weekday | type | device item_id          item     1 ID, table item attribute item
 * n ID (price: 1)                     field = category | brand | price | tags, n title_words item
 * n ID, table word, x = 1/words       n (8) ratio            item     1, (a + s*p)/(b + s) over,
 * of, prior p, strength s, half_life, as item_age         item     1, since created_ts or first
 * seen   as history_count    cross    1, times the item is in the history types (any), as
 *   history_recency  cross    1, place of the item in the history field = position | age, types
 * (any), as category_share   cross    1, history share of its categories  n (50), types (any), as
 *   seen             cross    1 BUCKET: 1 no, 2 yes
 *   retrieval_score  cross    1 NUMERIC: the index's score
 *   source_rank      cross    1, rank in a candidate source       source = index | popular |
 * history, as
 *
 * `type`/`types`/`over`/`of` take event types joined by "|", or a group: any, positive, shown.
 * as=bucket gives a logarithmic bucket (0 unknown), as=number a NUMERIC cell (log1p of counts and
 * of seconds; ranks as 1/rank; shares, rates and scores as they are).
 *
 * Layer: features; includes daemon/base/ only.
 */
#ifndef FR_FEATURES_SPEC_H
#define FR_FEATURES_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/err.h"
#include "daemon/base/field.h"
#include "daemon/base/hash.h"
#include "daemon/base/str.h"
#include "features/event.h"
#include "features/spec_default.h"

#define FR_HALF_LIVES 2
#define FR_MAX_HISTORY 200
#define FR_MAX_DEDUP 64
#define FR_MAX_SEEN 65536

enum fr_kind {
    FR_KIND_USER_ID,
    FR_KIND_EVENT_COUNT,
    FR_KIND_DECAYED_COUNT,
    FR_KIND_RECENCY,
    FR_KIND_FIRST_SEEN,
    FR_KIND_HISTORY,
    FR_KIND_CONTEXT,
    FR_KIND_ITEM_ID,
    FR_KIND_ATTRIBUTE,
    FR_KIND_TITLE_WORDS,
    FR_KIND_RATIO,
    FR_KIND_ITEM_AGE,
    FR_KIND_HISTORY_COUNT,
    FR_KIND_HISTORY_RECENCY,
    FR_KIND_CATEGORY_SHARE,
    FR_KIND_SEEN,
    FR_KIND_RETRIEVAL_SCORE,
    FR_KIND_SOURCE_RANK,
    FR_KIND_COUNT
};

/** Where a candidate comes from; the label in lineage and metrics is fr_cand_source_name(). */
enum fr_cand_source {
    FR_SOURCE_INDEX,
    FR_SOURCE_POPULAR,
    FR_SOURCE_HISTORY,
    FR_SOURCE_REQUEST,
    FR_SOURCE_COUNT
};

enum fr_context_field { FR_CONTEXT_HOUR, FR_CONTEXT_WEEKDAY, FR_CONTEXT_TYPE, FR_CONTEXT_DEVICE };
enum fr_attribute { FR_ATTR_CATEGORY, FR_ATTR_BRAND, FR_ATTR_PRICE, FR_ATTR_TAGS };
enum fr_history_field { FR_HISTORY_POSITION, FR_HISTORY_AGE };

/** What the config says about one event type. */
struct fr_type_input {
    struct fr_str name; /* [A-Za-z0-9_.-]{1,32} */
    double positive;    /* weight as a positive label; 0 = no positive */
    bool has_min_value; /* positive only if the event's value >= min_value */
    double min_value;
    bool history; /* enters the user's history */
    bool seen;    /* enters the seen set (with `history` the usual case) */
    bool trigger; /* is in recommend.on */
    bool shown;   /* an impression: the denominator of click rates */
};

/** Everything the config says about features. Owner: the caller; borrowed for fr_spec_compile(). */
struct fr_spec_input {
    const struct fr_type_input *types;
    int n_types;
    const struct fr_str *features; /* declaration lines */
    int n_features;
    struct fr_str hash_secret; /* key of the id hash; never printed */
    int64_t user_half_life_ms[FR_HALF_LIVES];
    int64_t item_half_life_ms[FR_HALF_LIVES];
    uint32_t dedup_window;   /* 0..FR_MAX_DEDUP */
    uint32_t history_length; /* 1..FR_MAX_HISTORY */
    uint32_t seen_cap;       /* 0 = no seen set, ..FR_MAX_SEEN */
    int64_t ttl_ms;          /* 0 = none */
    int64_t max_future_ms;   /* >= 0 */
    int64_t min_interval_ms; /* recommend.min_interval_ms, >= 0 */
    int64_t item_tick_ms;    /* > 0: event-time distance of item-table generations */
    uint32_t popular_top;    /* length of a generation's popular list */
    int popular_half_life;   /* 0 or 1: which item half-life orders it */
};

/** One compiled feature. */
struct fr_feature {
    enum fr_kind kind;
    enum fr_entity entity;
    int field;       /* index into fields.f: features and fields are 1:1, same order */
    uint32_t types;  /* bit per event type */
    uint32_t of;     /* ratio: denominator's types */
    int half_life;   /* 0 or 1 */
    bool number;     /* as=number */
    uint32_t n;      /* history depth or slots */
    int what;        /* fr_context_field, fr_attribute, fr_history_field or fr_cand_source */
    double prior;    /* ratio */
    double strength; /* ratio */
    int column;      /* item statistics column, or -1 */
};

struct fr_type {
    char name[33];
    double positive;
    bool has_min_value;
    double min_value;
    bool history, seen, trigger, shown;
};

/**
 * The compiled declaration. Owner: who compiled it, fr_spec_free(). Thread: immutable, any.
 */
struct fr_spec {
    struct fr_field_set fields;
    struct fr_feature feat[FR_MAX_FIELDS];
    int n_feat;
    struct fr_type type[FR_MAX_EVENT_TYPES];
    int n_types;
    struct fr_hash_key key;
    int64_t user_half_life_ms[FR_HALF_LIVES];
    int64_t item_half_life_ms[FR_HALF_LIVES];
    uint32_t dedup_window;
    uint32_t history_length;
    uint32_t seen_cap;
    int64_t ttl_ms;
    int64_t max_future_ms;
    int64_t min_interval_ms;
    int64_t item_tick_ms;
    uint32_t popular_top;
    int popular_half_life;
    int column_feat[FR_MAX_FIELDS]; /* item statistics column -> feature */
    int n_columns;
};

/**
 * Check and compile. A refusal names line, column and the nearest known name, e.g.
 * `features line 3, column 12: unknown kind "decayed_cout" (nearest: decayed_count)`.
 * @param out_spec  set only on FR_OK.
 * @errors FR_ESYNTAX FR_EINVAL FR_ERANGE FR_EDUPLICATE FR_EFULL FR_ENOMEM, text in `fault`
 */
FR_MUST_CHECK enum fr_err
fr_spec_compile(const struct fr_spec_input *in, struct fr_spec **out_spec, struct fr_fault *fault);

/** NULL is a no-op. */
void fr_spec_free(struct fr_spec *spec);

/** Index of an event type by name, or -1. @thread any */
int fr_spec_type(const struct fr_spec *spec, struct fr_str name);

/** Weight of this event as a positive label, 0 = none. @thread any */
double fr_spec_positive(const struct fr_spec *spec, const struct fr_event *ev);

/** True if an ITEM field depends on the catalogue only, never on statistics or time: what an item
 *  tower may read. False for every other entity. @thread any */
bool fr_spec_field_static(const struct fr_spec *spec, int field);

/** "index", "popular", "history", "request". */
const char *fr_cand_source_name(enum fr_cand_source s);
const char *fr_kind_name(enum fr_kind k);

/** `1500`, `90s`, `5m`, `1h`, `7d` to ms (a bare number is ms). @errors FR_ESYNTAX FR_ERANGE */
FR_MUST_CHECK enum fr_err fr_duration_parse(struct fr_str s, int64_t *out_ms);

#endif
