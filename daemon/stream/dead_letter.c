/*
 * daemon/stream/dead_letter.c - see dead_letter.h.
 */
#include "daemon/stream/dead_letter.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "freshet.errors."
#define ATTEMPT PREFIX "attempt"

struct list {
    struct fr_arena *ar;
    struct fr_header *h;
    int n;
    enum fr_err err;
};

static void add(struct list *l, const char *name, struct fr_str value)
{
    struct fr_str copy;

    if (l->err != FR_OK)
        return;
    l->err = fr_arena_dup(l->ar, value, &copy);
    if (l->err == FR_OK)
        l->h[l->n++] = (struct fr_header){name, copy};
}

static void add_z(struct list *l, const char *name, const char *z)
{
    add(l, name, fr_str_z(z == NULL ? "" : z));
}

static void add_i64(struct list *l, const char *name, int64_t v)
{
    char tmp[32];
    int n = snprintf(tmp, sizeof(tmp), "%lld", (long long)v);

    add(l, name, (struct fr_str){tmp, n < 0 ? 0 : (size_t)n});
}

/* The original headers, without our own of an earlier life; counts the attempts. */
static int64_t copy_originals(struct list *l, const struct fr_dead_letter_input *in)
{
    struct fr_header h;
    int64_t attempt = 0;

    for (int i = 0; in->src != NULL && fr_source_header(in->src, in->rec, i, &h) == FR_OK; i++) {
        if (strcmp(h.name, ATTEMPT) == 0 && fr_str_to_i64(h.value, &attempt) != FR_OK)
            attempt = 0;
        if (strncmp(h.name, PREFIX, strlen(PREFIX)) != 0 &&
            l->n < FR_DEAD_LETTER_MAX_HEADERS - FR_DEAD_LETTER_HEADERS)
            l->h[l->n++] = h;
    }
    return attempt < 0 || attempt > 1000000 ? 0 : attempt;
}

enum fr_err fr_dead_letter_build(const struct fr_dead_letter_input *in,
                                 struct fr_arena *ar,
                                 struct fr_outgoing *out)
{
    struct list l = {
        ar, fr_arena_array(ar, FR_DEAD_LETTER_MAX_HEADERS, sizeof(struct fr_header)), 0, FR_OK};
    int64_t attempt, ts = in->rec->ts_ms;

    if (l.h == NULL)
        return FR_ENOMEM;
    attempt = copy_originals(&l, in);
    add_z(&l, PREFIX "topic", in->topic);
    add_i64(&l, PREFIX "partition", in->rec->partition);
    add_i64(&l, PREFIX "offset", in->rec->offset);
    add_z(&l, PREFIX "stage", in->stage);
    add_z(&l, PREFIX "code", fr_err_label(in->code));
    add_z(&l, PREFIX "message", in->message);
    add_z(&l, PREFIX "group", in->group);
    add_i64(&l, ATTEMPT, attempt + 1);
    if (l.err != FR_OK)
        return l.err;
    memset(out, 0, sizeof(*out));
    out->role = FR_TOPIC_DEAD_LETTERS;
    out->partition = FR_PARTITION_BY_KEY;
    out->key = in->rec->key;
    out->value = in->rec->value;
    out->headers = l.h;
    out->n_headers = l.n;
    out->ts_ms = ts <= 0 || ts > in->now_ms ? in->now_ms : ts;
    return FR_OK;
}
