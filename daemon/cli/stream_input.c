/*
 * daemon/cli/stream_input.c - see stream_input.h.
 */
#include "daemon/cli/stream_input.h"

#include "daemon/base/alloc.h"
#include "daemon/base/file.h"
#include "daemon/cli/topic_read.h"
#include "daemon/pipeline/spec_config.h"

#define MAX_FILE ((size_t)1 << 34)

int fr_stream_flags_check(const struct fr_stream_flags *f, const char *command)
{
    if (f->topics && (f->events != NULL || f->items != NULL))
        return fr_args_usage(command, "--from-topics reads both topics: it goes with neither --events nor --items");
    return FR_ARGS_GO_ON;
}

static enum fr_err
read_topic(const struct fr_settings *s, enum fr_topic_role role, bool quiet, struct fr_stream_log *log, struct fr_fault *fault)
{
    int32_t partitions = 0;
    enum fr_err e =
        fr_topic_read(&s->conn, s->names.name[role], role, quiet, fr_stream_log_add, log, &partitions, fault);

    fr_stream_log_finish(log, partitions);
    return e;
}

static enum fr_err read_topics(struct fr_stream_hold *h, const struct fr_settings *s, bool quiet, struct fr_fault *fault)
{
    enum fr_err e = read_topic(s, FR_TOPIC_EVENTS, quiet, &h->events, fault);

    h->in.event_log = &h->events;
    h->in.item_log = &h->items;
    return e == FR_OK ? read_topic(s, FR_TOPIC_ITEMS, quiet, &h->items, fault) : e;
}

static enum fr_err read_files(struct fr_stream_hold *h, const struct fr_stream_flags *f, struct fr_fault *fault)
{
    size_t n_ev = 0, n_it = 0;
    enum fr_err e = fr_file_read(f->events, MAX_FILE, &h->event_text, &n_ev, fault);

    if (e == FR_OK && f->items != NULL)
        e = fr_file_read(f->items, MAX_FILE, &h->item_text, &n_it, fault);
    if (e != FR_OK)
        return e;
    h->in.events = (struct fr_str){h->event_text, n_ev};
    h->in.items = (struct fr_str){h->item_text == NULL ? "" : h->item_text, n_it};
    return FR_OK;
}

enum fr_err fr_stream_hold_read(struct fr_stream_hold *h,
                                const struct fr_settings *s,
                                const struct fr_stream_flags *f,
                                bool quiet,
                                struct fr_fault *fault)
{
    enum fr_err e = fr_spec_from_config(&s->cfg, &h->spec, fault);

    h->in.spec = h->spec;
    if (e == FR_OK)
        e = f->topics ? read_topics(h, s, quiet, fault) : read_files(h, f, fault);
    return e;
}

void fr_stream_hold_done(struct fr_stream_hold *h)
{
    fr_stream_log_done(&h->events);
    fr_stream_log_done(&h->items);
    fr_free(h->event_text);
    fr_free(h->item_text);
    fr_spec_free(h->spec);
}
