/*
 * daemon/cli/shop_files.c - see shop_files.h. Written beside the target, then renamed over it.
 */
#include "daemon/cli/shop_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/file.h"
#include "daemon/cli/shop_wire.h"

#define PATH_BYTES 4096

/* A file on its way. */
struct out_file {
    FILE *f;
    char path[PATH_BYTES], part[PATH_BYTES];
};

struct writer {
    const struct fr_shop_history *h;
    struct out_file *events;
};

static enum fr_err failed(const char *path, struct fr_fault *fault)
{
    return fr_fault(fault, FR_EIO, "%s: %s", path, strerror(errno));
}

static enum fr_err start(const char *dir, const char *name, struct out_file *o, struct fr_fault *fault)
{
    int n = snprintf(o->path, sizeof(o->path), "%s/%s", dir, name);

    o->f = NULL;
    if (n < 0 || n >= PATH_BYTES - 8)
        return fr_fault(fault, FR_ETOOLARGE, "the name of the folder is too long");
    (void)snprintf(o->part, sizeof(o->part), "%.*s.part", PATH_BYTES - 8, o->path);
    o->f = fopen(o->part, "wb");
    return o->f == NULL ? failed(o->part, fault) : FR_OK;
}

/* Whole and on the disk. */
static enum fr_err finish(struct out_file *o, struct fr_fault *fault)
{
    FILE *f = o->f;
    bool good = fflush(f) == 0 && fsync(fileno(f)) == 0;

    o->f = NULL;
    if (fclose(f) != 0)
        good = false;
    return good ? FR_OK : failed(o->part, fault);
}

static enum fr_err publish(const struct out_file *o, struct fr_fault *fault)
{
    return rename(o->part, o->path) == 0 ? FR_OK : failed(o->path, fault);
}

static void drop(struct out_file *o)
{
    if (o->f != NULL)
        (void)fclose(o->f);
    if (o->part[0] != '\0')
        (void)unlink(o->part);
}

static enum fr_err put_line(struct out_file *o, struct fr_str value)
{
    return fwrite(value.p, 1, value.n, o->f) == value.n && fputc('\n', o->f) != EOF ? FR_OK : FR_EIO;
}

static enum fr_err on_event(void *ctx, struct fr_str value)
{
    struct writer *w = ctx;

    return put_line(w->events, value);
}

static bool on_progress(void *ctx, uint64_t done)
{
    const struct writer *w = ctx;

    return w->h->progress == NULL || w->h->progress(w->h->ctx, done);
}

static enum fr_err write_items(const struct fr_shop *sh, struct out_file *o)
{
    struct fr_buf b;
    enum fr_err e = FR_OK;

    fr_buf_init(&b);
    for (uint32_t i = 0; i < fr_shop_items(sh) && e == FR_OK; i++) {
        fr_buf_clear(&b);
        fr_shop_item_json(sh, i, 0, &b);
        e = fr_buf_err(&b);
        if (e == FR_OK)
            e = put_line(o, fr_buf_str(&b));
    }
    fr_buf_done(&b);
    return e;
}

static enum fr_err
write_both(const struct fr_shop_history *h, struct out_file *events, struct out_file *items, struct fr_fault *fault)
{
    struct writer w = {h, events};
    struct fr_shop_history mine = *h;
    enum fr_err e;

    mine.event = on_event;
    mine.progress = on_progress;
    mine.ctx = &w;
    e = fr_shop_history_run(&mine);
    if (e == FR_EIO)
        return failed(events->part, fault);
    if (e != FR_OK)
        return fr_fault(fault, e, "%s", fr_err_text(e));
    e = write_items(h->shop, items);
    if (e != FR_OK)
        return e == FR_EIO ? failed(items->part, fault) : fr_fault(fault, e, "%s", fr_err_text(e));
    e = finish(events, fault);
    if (e == FR_OK)
        e = finish(items, fault);
    if (e == FR_OK)
        e = publish(items, fault);
    return e == FR_OK ? publish(events, fault) : e;
}

enum fr_err fr_shop_files_write(const struct fr_shop_history *h, const char *dir, struct fr_fault *fault)
{
    struct out_file events = {.f = NULL}, items = {.f = NULL};
    enum fr_err e = fr_file_mkdirs(dir, fault);

    if (e == FR_OK)
        e = start(dir, "events.jsonl", &events, fault);
    if (e == FR_OK)
        e = start(dir, "items.jsonl", &items, fault);
    if (e == FR_OK)
        e = write_both(h, &events, &items, fault);
    if (e != FR_OK) {
        drop(&events);
        drop(&items);
    }
    return e;
}
