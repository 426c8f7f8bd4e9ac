/*
 * daemon/cli/shop_catalogue.c - what the shop sells: births, deaths, fashions, names and prices.
 *
 * A category is a nest with five kinds of product; a kind has a centre in the space of styles and an item lies
 * near its kind's centre. Brand, price and the words of the title follow from the same numbers that the
 * utility reads, so a model that reads content can learn something about an item nobody has seen yet.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/alloc.h"
#include "daemon/cli/shop_priv.h"

/* A category's name, the usual price of it, its five kinds. */
struct trade {
    const char *name;
    double price;
    const char *kind[SHOP_KINDS];
};

static const struct trade trades[FR_SHOP_CATEGORIES_MAX] = {
    {"Kitchen", 30, {"Tea Pot", "Frying Pan", "Chef Knife", "Cutting Board", "Mixing Bowl"}},
    {"Jackets", 120, {"Field Jacket", "Rain Coat", "Down Parka", "Blazer", "Wind Breaker"}},
    {"Shoes", 90, {"Running Shoes", "Chelsea Boots", "Sandals", "Loafers", "Trail Shoes"}},
    {"Books", 16, {"Cook Book", "Travel Guide", "Mystery Novel", "Biography", "Picture Book"}},
    {"Audio", 110, {"Headphones", "Ear Buds", "Bookshelf Speaker", "Turntable", "Radio"}},
    {"Garden", 35, {"Planter", "Garden Hose", "Pruning Shears", "Lantern", "Bird Feeder"}},
    {"Toys", 25, {"Building Blocks", "Puzzle", "Plush Bear", "Train Set", "Board Game"}},
    {"Lighting", 60, {"Desk Lamp", "Floor Lamp", "Pendant", "Night Light", "Wall Light"}},
    {"Bags", 70, {"Back Pack", "Tote Bag", "Messenger Bag", "Duffel", "Wallet"}},
    {"Cycling", 55, {"Bike Helmet", "Bike Light", "Saddle", "Pannier", "Cycling Gloves"}},
    {"Bedding", 65, {"Duvet Cover", "Pillow", "Wool Blanket", "Sheet Set", "Bed Throw"}},
    {"Coffee", 45, {"Coffee Grinder", "Moka Pot", "Pour Over Set", "Espresso Cups", "Milk Frother"}},
    {"Office", 40, {"Notebook", "Fountain Pen", "Desk Organizer", "Monitor Stand", "Desk Chair"}},
    {"Fitness", 35, {"Yoga Mat", "Kettlebell", "Resistance Band", "Foam Roller", "Jump Rope"}},
    {"Camping", 95, {"Tent", "Sleeping Bag", "Camp Stove", "Head Lamp", "Camp Chair"}},
    {"Watches", 160, {"Diver Watch", "Dress Watch", "Chronograph", "Pocket Watch", "Watch Strap"}},
    {"Knitwear", 70, {"Cardigan", "Turtleneck", "Scarf", "Beanie", "Sweater Vest"}},
    {"Cameras", 240, {"Instant Camera", "Tripod", "Camera Strap", "Zoom Lens", "Action Camera"}},
    {"Art", 50, {"Screen Print", "Picture Frame", "Canvas", "Vase", "Wall Clock"}},
    {"Pets", 28, {"Dog Bed", "Cat Tree", "Dog Leash", "Food Bowl", "Cat Tunnel"}},
    {"Beauty", 24, {"Face Cream", "Soap Set", "Hair Brush", "Perfume", "Bath Oil"}},
    {"Tools", 48, {"Cordless Drill", "Hand Saw", "Tool Box", "Spirit Level", "Wrench Set"}},
    {"Baby", 38, {"Baby Carrier", "Teether", "Swaddle", "High Chair", "Baby Monitor"}},
    {"Music", 130, {"Ukulele", "Keyboard", "Drum Pad", "Guitar Strap", "Harmonica"}},
};

/* For each dimension of style, a word for its low and its high end; a second set for the runner-up. */
static const char *const style_word[SHOP_STYLES] = {
    "Plain",  "Ornate", "Rugged", "Delicate", "Classic", "Modern", "Compact", "Grand",
    "Muted",  "Bright", "Light",  "Heavy",    "Rustic",  "Sleek",  "Quiet",   "Playful"};
static const char *const second_word[SHOP_STYLES] = {
    "Linen",  "Walnut", "Canvas", "Silk",   "Brass", "Steel",  "Cotton", "Marble",
    "Felt",   "Enamel", "Bamboo", "Oak",    "Cork",  "Carbon", "Wool",   "Copper"};

static const char *const brand_name[SHOP_BRANDS] = {
    "Norvik",   "Alder & Finch", "Tessaro", "Halden",  "Brightwell", "Okiri",    "Lumenta",   "Fjordby",
    "Castello", "Merrow",        "Pinecroft", "Solvane", "Quillon",  "Veldt",    "Arbory",    "Nimbusco",
    "Hearthly", "Kestrel",       "Morivale", "Ostrava", "Redfern",   "Sundholm", "Tamarisk",  "Umbria",
    "Wexley",   "Yarrow",        "Zephra",  "Bramble", "Corvane",    "Dunmore",  "Elmstead",  "Farrow",
    "Grenholm", "Ibexa",         "Juniper", "Larkspur", "Marlowe",   "Northam",  "Pellegrin", "Rosenby"};

const char *shop_category_name(int cat)
{
    return trades[cat].name;
}

/* ---- room ---- */

static enum fr_err grow(void **p, uint64_t cap, size_t size)
{
    void *q = fr_realloc_array(*p, cap, size);

    if (q == NULL)
        return FR_ENOMEM;
    *p = q;
    return FR_OK;
}

/* Room for one more item and one more change of a category, before anything is changed. */
static enum fr_err room(struct fr_shop *sh, struct shop_cat *c)
{
    enum fr_err e = FR_OK;

    if (sh->n_items == sh->cap_items) {
        uint32_t cap = sh->cap_items < 64 ? 64 : sh->cap_items * 2;

        e = grow((void **)&sh->item, cap, sizeof(*sh->item));
        if (e == FR_OK)
            e = grow((void **)&sh->alive, cap, sizeof(*sh->alive));
        if (e == FR_OK)
            e = grow((void **)&sh->fashionable, cap, sizeof(*sh->fashionable));
        if (e == FR_OK)
            e = grow((void **)&sh->v, cap, sizeof(*sh->v));
        if (e == FR_OK)
            sh->cap_items = cap;
    }
    if (e == FR_OK && c->n == c->cap) {
        uint32_t cap = c->cap < 16 ? 16 : c->cap * 2;

        e = grow((void **)&c->member, cap, sizeof(*c->member));
        if (e == FR_OK)
            c->cap = cap;
    }
    if (e == FR_OK && sh->n_change + 1 >= sh->cap_change) {
        uint64_t cap = sh->cap_change < 256 ? 256 : sh->cap_change * 2;

        e = grow((void **)&sh->change, cap, sizeof(*sh->change));
        if (e == FR_OK)
            sh->cap_change = cap;
    }
    return e;
}

static void note(struct fr_shop *sh, uint32_t item, int64_t ts_ms, bool born)
{
    sh->change[sh->n_change++] = (struct fr_shop_change){item, ts_ms, born};
}

/* ---- births, deaths, fashions ---- */

static void make_fashionable(struct fr_shop *sh, uint32_t at, int64_t ts_ms, double size)
{
    struct shop_item *it = &sh->item[at];

    if (it->fashion <= 0)
        sh->fashionable[sh->n_fashionable++] = at;
    it->fashion = (float)size;
    it->fashion_ms = ts_ms;
    it->base = it->quality + it->fashion;
}

static enum fr_err birth(struct fr_shop *sh, int64_t ts_ms)
{
    int cat = (int)fr_rng_below(&sh->world, (uint64_t)sh->n_cats);
    struct shop_cat *c = &sh->cat[cat];
    uint32_t at = sh->n_items;
    struct shop_item *it;
    enum fr_err e = room(sh, c);

    if (e != FR_OK)
        return e;
    it = &sh->item[at];
    memset(it, 0, sizeof(*it));
    it->cat = (uint8_t)cat;
    it->kind = (uint8_t)fr_rng_below(&sh->world, SHOP_KINDS);
    it->brand = (uint8_t)(((uint64_t)cat * 7 + fr_rng_below(&sh->world, 10)) % SHOP_BRANDS);
    for (int d = 0; d < SHOP_DIM; d++)
        it->style[d] = c->kind[it->kind][d] + (float)(0.7 * fr_rng_normal(&sh->world));
    it->quality = (float)(0.5 * fr_rng_normal(&sh->world) + 0.15 * (it->brand % 5 - 2));
    it->price_z = (float)(0.8 * fr_rng_normal(&sh->world) + 0.3 * (it->brand % 5 - 2));
    it->price = (float)(floor(exp((double)c->log_price + 0.4 * (double)it->price_z)) + 0.99);
    it->base = it->quality;
    it->born_ms = ts_ms;
    it->at_alive = sh->n_alive;
    it->at_cat = c->n;
    c->member[c->n++] = at;
    sh->alive[sh->n_alive++] = at;
    sh->n_items++;
    note(sh, at, ts_ms, true);
    return FR_OK;
}

static enum fr_err death(struct fr_shop *sh, int64_t ts_ms)
{
    uint32_t at = sh->alive[fr_rng_below(&sh->world, sh->n_alive)];
    struct shop_item *it = &sh->item[at];
    struct shop_cat *c = &sh->cat[it->cat];
    uint32_t last;
    enum fr_err e;

    if (sh->n_alive <= 2U * (uint32_t)sh->conf.n || sh->n_alive <= 2)
        return FR_OK;
    e = room(sh, c);
    if (e != FR_OK)
        return e;
    it = &sh->item[at]; /* room() may have moved it */
    last = sh->alive[--sh->n_alive];
    sh->alive[it->at_alive] = last;
    sh->item[last].at_alive = it->at_alive;
    last = c->member[--c->n];
    c->member[it->at_cat] = last;
    sh->item[last].at_cat = it->at_cat;
    it->at_alive = it->at_cat = FR_SHOP_ITEM_NONE;
    it->died_ms = ts_ms;
    note(sh, at, ts_ms, false);
    return FR_OK;
}

/* Fashions fade; this is done on a grid so that a look at an item is a plain read. */
static void refresh(struct fr_shop *sh, double now)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < sh->n_fashionable; i++) {
        struct shop_item *it = &sh->item[sh->fashionable[i]];
        double days = (now - (double)it->fashion_ms) / sh->day_ms;
        double left = (double)it->fashion * exp(-days / SHOP_FASHION_DAYS);

        if (left < 0.02) {
            it->fashion = 0;
            it->base = it->quality;
            continue;
        }
        it->base = it->quality + (float)left;
        sh->fashionable[kept++] = sh->fashionable[i];
    }
    sh->n_fashionable = kept;
}

enum fr_err shop_catalogue_advance(struct fr_shop *sh, int64_t now_ms)
{
    const struct fr_shop_conf *c = &sh->conf;

    for (;;) {
        double birth_ms = sh->next_birth_ms, death_ms = sh->next_death_ms, fashion_ms = sh->next_fashion_ms;
        double next = fmin(fmin(birth_ms, death_ms), fmin(fashion_ms, sh->next_refresh_ms));
        enum fr_err e = FR_OK;

        if (!(next <= (double)now_ms))
            return FR_OK;
        if (next >= birth_ms) {
            e = birth(sh, (int64_t)next);
            if (e == FR_OK && fr_rng_below(&sh->world, 4) == 0)
                make_fashionable(sh, sh->n_items - 1, (int64_t)next, SHOP_FASHION * fr_rng_f64(&sh->world));
            if (e == FR_OK)
                sh->next_birth_ms += shop_wait(&sh->world, sh->day_ms / c->births_per_day);
        } else if (next >= death_ms) {
            e = death(sh, (int64_t)next);
            if (e == FR_OK)
                sh->next_death_ms += shop_wait(&sh->world, sh->day_ms / c->deaths_per_day);
        } else if (next >= fashion_ms) {
            make_fashionable(sh, sh->alive[fr_rng_below(&sh->world, sh->n_alive)], (int64_t)next,
                             SHOP_FASHION * (0.5 + fr_rng_f64(&sh->world)));
            sh->next_fashion_ms += shop_wait(&sh->world, sh->day_ms / c->fashions_per_day);
        } else {
            refresh(sh, next);
            sh->next_refresh_ms += sh->day_ms / 50;
        }
        if (e != FR_OK)
            return e;
    }
}

/* ---- set up ---- */

static int categories(uint32_t items)
{
    uint32_t n = items / 40;

    return n < 2 ? 2 : n > FR_SHOP_CATEGORIES_MAX ? FR_SHOP_CATEGORIES_MAX : (int)n;
}

enum fr_err shop_catalogue_new(struct fr_shop *sh)
{
    enum fr_err e = FR_OK;
    double start = (double)sh->conf.start_ms;

    sh->n_cats = categories(sh->conf.items);
    for (int c = 0; c < sh->n_cats; c++) {
        sh->cat[c].lambda = 0.45 + 0.4 * fr_rng_f64(&sh->world);
        sh->cat[c].log_price = (float)log(trades[c].price);
        for (int k = 0; k < SHOP_KINDS; k++)
            for (int d = 0; d < SHOP_DIM; d++)
                sh->cat[c].kind[k][d] = (float)(0.8 * fr_rng_normal(&sh->world));
    }
    for (uint32_t i = 0; i < sh->conf.items && e == FR_OK; i++)
        e = birth(sh, sh->conf.start_ms);
    sh->next_birth_ms = start + shop_wait(&sh->world, sh->day_ms / sh->conf.births_per_day);
    sh->next_death_ms = start + shop_wait(&sh->world, sh->day_ms / sh->conf.deaths_per_day);
    sh->next_fashion_ms = start + shop_wait(&sh->world, sh->day_ms / sh->conf.fashions_per_day);
    sh->next_refresh_ms = start + sh->day_ms / 50;
    return e;
}

void shop_catalogue_done(struct fr_shop *sh)
{
    for (int c = 0; c < FR_SHOP_CATEGORIES_MAX; c++)
        fr_free(sh->cat[c].member);
    fr_free(sh->item);
    fr_free(sh->alive);
    fr_free(sh->fashionable);
    fr_free(sh->v);
    fr_free(sh->change);
}

/* ---- facts ---- */

/* Index of the word for the strongest dimension but `skip`. */
static int strongest(const struct shop_item *it, int skip)
{
    int best = skip == 0 ? 1 : 0;

    for (int d = 0; d < SHOP_DIM; d++)
        if (d != skip && fabsf(it->style[d]) > fabsf(it->style[best]))
            best = d;
    return best;
}

static int word(const struct shop_item *it, int d)
{
    return 2 * d + (it->style[d] > 0 ? 1 : 0);
}

bool fr_shop_item(const struct fr_shop *sh, uint32_t item, struct fr_shop_item *out)
{
    const struct shop_item *it;
    int first;

    if (item >= sh->n_items)
        return false;
    it = &sh->item[item];
    first = strongest(it, -1);
    fr_shop_item_id(item, out->id);
    (void)snprintf(out->title, sizeof(out->title), "%s %s %s", style_word[word(it, first)],
                   second_word[word(it, strongest(it, first))], trades[it->cat].kind[it->kind]);
    out->category = trades[it->cat].name;
    out->brand = brand_name[it->brand];
    out->price = floor((double)it->price * 100 + 0.5) / 100;
    out->born_ms = it->born_ms;
    out->died_ms = it->died_ms;
    return true;
}
