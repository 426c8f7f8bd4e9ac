/* What ships: the config file shows these lines and types. */
#include "features/spec_default.h"

#include "features/spec.h"

#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)

#define LINES(X)                                                                                   \
    X("user_id = user_id()")                                                                       \
    X("user_events = event_count()")                                                               \
    X("user_positive_1h = decayed_count(entity=user, types=positive, half_life=1h)")               \
    X("user_positive_7d = decayed_count(entity=user, types=positive, half_life=7d)")               \
    X("user_any_1h = decayed_count(entity=user, types=any, half_life=1h)")                         \
    X("user_recency = recency(types=positive)")                                                    \
    X("user_age = first_seen(entity=user)")                                                        \
    X("history = history(n=50, types=any)")                                                        \
    X("last_items = history(n=3, types=any)")                                                      \
    X("hour = context(field=hour)")                                                                \
    X("weekday = context(field=weekday)")                                                          \
    X("device = context(field=device)")                                                            \
    X("item_id = item_id()")                                                                       \
    X("item_category = attribute(field=category, n=4)")                                            \
    X("item_brand = attribute(field=brand, n=1)")                                                  \
    X("item_price = attribute(field=price)")                                                       \
    X("item_tags = attribute(field=tags, n=8)")                                                    \
    X("item_words = title_words(n=8)")                                                             \
    X("item_popular_3h = decayed_count(entity=item, types=positive, half_life=3h)")                \
    X("item_popular_7d = decayed_count(entity=item, types=positive, half_life=7d)")                \
    X("item_click_rate = ratio(over=positive, of=shown, half_life=7d, prior=0.05, strength=20)")   \
    X("item_age = item_age()")                                                                     \
    X("times_in_history = history_count()")                                                        \
    X("place_in_history = history_recency(field=position)")                                        \
    X("time_in_history = history_recency(field=age)")                                              \
    X("category_share = category_share(n=50)")                                                     \
    X("category_share_10 = category_share(n=10)")                                                  \
    X("retrieval_score = retrieval_score()")                                                       \
    X("index_rank = source_rank(source=index)")                                                    \
    X("popular_rank = source_rank(source=popular)")                                                \
    X("history_rank = source_rank(source=history)")

#define AS_TEXT(z) z,
#define AS_STR(z) {z, sizeof(z) - 1},
static const char *const default_lines[] = {LINES(AS_TEXT)};
static const struct fr_str line_strs[] = {LINES(AS_STR)};
#define N_LINES ((int)(sizeof default_lines / sizeof default_lines[0]))

const char *const *fr_spec_default_lines(int *out_n)
{
    *out_n = N_LINES;
    return default_lines;
}

#define S(z)                                                                                       \
    {                                                                                              \
        z, sizeof(z) - 1                                                                           \
    }

static const struct fr_type_input default_types[] = {
    {.name = S("view"), .positive = 0.2, .history = true, .trigger = true},
    {.name = S("click"), .positive = 1, .history = true, .seen = true, .trigger = true},
    {.name = S("purchase"), .positive = 3, .history = true, .seen = true, .trigger = true},
    {.name = S("like"), .positive = 2, .history = true, .seen = true, .trigger = true},
    {.name = S("rating"), .positive = 1, .history = true, .seen = true, .trigger = true},
    {.name = S("skip")},
    {.name = S("impression"), .shown = true},
    {.name = S("impressions"), .shown = true},
};

void fr_spec_input_default(struct fr_spec_input *in)
{
    *in = (struct fr_spec_input){
        .types = default_types,
        .n_types = (int)(sizeof default_types / sizeof default_types[0]),
        .features = line_strs,
        .n_features = N_LINES,
        .hash_secret = {"", 0},
        .user_half_life_ms = {HOUR, 7 * DAY},
        .item_half_life_ms = {3 * HOUR, 7 * DAY},
        .dedup_window = 16,
        .history_length = 50,
        .seen_cap = 4096,
        .ttl_ms = 90 * DAY,
        .max_future_ms = HOUR,
        .min_interval_ms = 0,
        .item_tick_ms = 60000,
        .popular_top = 500,
        .popular_half_life = 0,
    };
}
