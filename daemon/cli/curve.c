/*
 * daemon/cli/curve.c - one line an epoch; the picture of the same.
 */
#include "daemon/cli/curve.h"

#include <math.h>
#include <string.h>

#include "daemon/base/file.h"

/* BUNDLE<ending>, whatever came before: FR_OK is for the buffer's contents too. */
static enum fr_err
write_one(const char *bundle, const char *ending, const struct fr_buf *b, struct fr_fault *fault)
{
    struct fr_buf path = {NULL, 0, 0, FR_OK};
    size_t n = strlen(bundle);
    enum fr_err e;

    while (n > 1 && bundle[n - 1] == '/')
        n--;
    fr_buf_put(&path, bundle, n);
    fr_buf_puts(&path, ending);
    fr_buf_putc(&path, '\0');
    e = fr_buf_err(&path) != FR_OK ? fr_buf_err(&path) : fr_buf_err(b);
    e = e == FR_OK ? fr_file_replace(path.p, fr_buf_str(b), fault) : fr_fault(fault, e, "out of memory");
    fr_buf_done(&path);
    return e;
}

enum fr_err fr_curve_write(const char *bundle,
                           const struct fr_chart_curve *c,
                           const double *csv_lr,
                           struct fr_fault *fault)
{
    struct fr_buf b = {NULL, 0, 0, FR_OK};
    enum fr_err e;

    fr_buf_printf(&b, "epoch%s,train_loss%s%s\n", csv_lr == NULL ? "" : ",lr", c->valid_name == NULL ? "" : ",valid_",
                  c->valid_name == NULL ? "" : c->valid_name);
    for (int i = 0; i < c->n; i++) {
        fr_buf_printf(&b, "%d", i + 1);
        if (csv_lr != NULL)
            fr_buf_printf(&b, ",%g", csv_lr[i]);
        fr_buf_printf(&b, ",%.7f", c->loss[i]);
        if (c->valid_name != NULL)
            fr_buf_printf(&b, isnan(c->valid[i]) ? "," : ",%.7f", c->valid[i]);
        fr_buf_putc(&b, '\n');
    }
    e = write_one(bundle, ".curve.csv", &b, fault);
    fr_buf_clear(&b);
    fr_chart_curve(c, &b);
    if (e == FR_OK)
        e = write_one(bundle, ".curve.svg", &b, fault);
    fr_buf_done(&b);
    return e;
}
