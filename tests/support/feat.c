#include "tests/support/feat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what)
{
    fprintf(stderr, "feat: %s\n", what);
    abort();
}

struct fr_spec *feat_spec(void (*edit)(struct fr_spec_input *in))
{
    struct fr_spec_input in;
    struct fr_fault fault = {0};
    struct fr_spec *spec = NULL;

    fr_spec_input_default(&in);
    in.hash_secret = FR_STR_LIT("test");
    if (edit != NULL)
        edit(&in);
    if (fr_spec_compile(&in, &spec, &fault) != FR_OK)
        die(fault.msg);
    return spec;
}

struct fr_arena *feat_arena(void)
{
    struct fr_arena *ar = NULL;
    if (fr_arena_new(64 * 1024, 0, &ar) != FR_OK)
        die("no arena");
    return ar;
}

static struct fr_str keep(struct fr_arena *ar, const char *z)
{
    struct fr_str s = {NULL, 0};
    if (z != NULL && fr_arena_dup(ar, fr_str_z(z), &s) != FR_OK)
        die("no memory");
    return s;
}

struct fr_event feat_event(const struct fr_spec *spec,
                           struct fr_arena *ar,
                           const char *type,
                           const char *user,
                           const char *item,
                           int64_t ts,
                           uint64_t n)
{
    char id[32];
    struct fr_event ev = {.ts = ts, .position = -1};

    snprintf(id, sizeof id, "e%llu", (unsigned long long)n);
    ev.event_id = keep(ar, id);
    ev.user_id = keep(ar, user);
    ev.item_id = keep(ar, item);
    ev.type = fr_spec_type(spec, fr_str_z(type));
    if (ev.type < 0)
        die("unknown event type");
    fr_event_hash(&ev, spec->key);
    return ev;
}

struct fr_item_record feat_item(const struct fr_spec *spec,
                                struct fr_arena *ar,
                                const char *id,
                                const char *categories,
                                const char *title)
{
    struct fr_item_record r = {.available = true};
    struct fr_str all = keep(ar, categories);
    struct fr_str *cat = fr_arena_array(ar, 3, sizeof *cat);

    if (cat == NULL)
        die("no memory");
    r.item_id = keep(ar, id);
    r.item = fr_id_hash(spec->key, r.item_id);
    r.title = keep(ar, title);
    r.categories = cat;
    while (all.n > 0 && r.n_categories < 3) {
        const char *bar = memchr(all.p, '|', all.n);
        size_t n = bar == NULL ? all.n : (size_t)(bar - all.p);
        cat[r.n_categories++] = (struct fr_str){all.p, n};
        size_t skip = bar == NULL ? n : n + 1;
        all = (struct fr_str){all.p + skip, all.n - skip};
    }
    return r;
}
