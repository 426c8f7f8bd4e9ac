/*
 * daemon/cli/judge_report.c - the judge's tables.
 */
#include "daemon/cli/judge_report.h"

#include <math.h>

#include "daemon/base/json.h"

#define SHORT_SEGMENTS 40 /* more are left to --json */

static const char *const keys[FR_JUDGE_SYSTEMS] = {"lists", "popular", "last_item_rules", "last_10_rules",
                                                    "repeat"};
static const char *const heads[FR_JUDGE_SYSTEMS] = {"judged", "popular", "last-item", "last-10", "repeat"};

static double mean_hr(const struct fr_judge_report *r, enum fr_judge_system s, double *out_mrr)
{
    double hr = 0, mrr = 0;
    uint32_t n = 0;

    for (uint32_t k = 0; k < r->n_segments; k++) {
        if (r->segment[k].labels == 0)
            continue;
        hr += fr_judge_hr(&r->segment[k], s);
        mrr += fr_judge_mrr(&r->segment[k], s);
        n++;
    }
    *out_mrr = n == 0 ? 0 : mrr / n;
    return n == 0 ? 0 : hr / n;
}

void fr_judge_print_counts(FILE *out, const struct fr_judge_stream_counts *c)
{
    fprintf(out, "events: %llu read, %llu malformed, %llu of other types or without an item, %llu repeated\n",
            (unsigned long long)c->events, (unsigned long long)c->events_bad,
            (unsigned long long)c->events_other, (unsigned long long)c->events_again);
    if (c->lists > 0)
        fprintf(out,
                "lists:  %llu read, %llu malformed, %llu answers to requests, %llu repeated, %llu whose "
                "trigger is not among the events\n",
                (unsigned long long)c->lists, (unsigned long long)c->lists_bad,
                (unsigned long long)c->lists_asked, (unsigned long long)c->lists_again,
                (unsigned long long)c->lists_lost);
    if (c->skew_ms > 0)
        fprintf(out, "skew:   an event lies up to %lld ms behind an earlier one\n", (long long)c->skew_ms);
}

static void overall(FILE *out, const struct fr_judge_report *r)
{
    bool ci = r->hr[FR_JUDGE_POPULAR].high > 0 || r->hr[FR_JUDGE_LISTS].high > 0;

    fprintf(out, "\n%-20s %7s@%-2d %-15s %7s@%-2d %-15s %8s\n", "", "HR", r->n, ci ? "  95 % interval" : "",
            "MRR", r->n, ci ? "  95 % interval" : "", "items");
    for (int k = 0; k < FR_JUDGE_SYSTEMS; k++) {
        enum fr_judge_system s = (enum fr_judge_system)k;

        if (!r->has[s])
            continue;
        fprintf(out, "%-20s %10.4f ", fr_judge_system_name(s), fr_judge_hr(&r->all, s));
        if (ci)
            fprintf(out, "[%.4f, %.4f] ", r->hr[s].low, r->hr[s].high);
        else
            fprintf(out, "%-16s", "");
        fprintf(out, "%9.4f ", fr_judge_mrr(&r->all, s));
        if (ci)
            fprintf(out, "[%.4f, %.4f] ", r->mrr[s].low, r->mrr[s].high);
        else
            fprintf(out, "%-16s", "");
        fprintf(out, "%8u\n", r->coverage[s]);
    }
}

static void slice_row(FILE *out, const struct fr_judge_report *r, const char *name, const struct fr_judge_slice *s)
{
    if (s->labels == 0)
        return;
    fprintf(out, "%-20s %10llu", name, (unsigned long long)s->labels);
    for (int k = 0; k < FR_JUDGE_SYSTEMS; k++)
        if (r->has[k])
            fprintf(out, " %10.4f", fr_judge_hr(s, (enum fr_judge_system)k));
    fputc('\n', out);
}

static void segments(FILE *out, const struct fr_judge_report *r)
{
    char name[32];

    if (r->n_segments == 0)
        return;
    for (uint32_t k = 0; k < r->n_segments && r->n_segments <= SHORT_SEGMENTS; k++) {
        snprintf(name, sizeof(name), "segment %u", k + 1);
        slice_row(out, r, name, &r->segment[k]);
    }
    for (int m = 0; m < 2; m++) {
        fprintf(out, "%-20s %10s", m == 0 ? "mean of segments" : "  its MRR", "");
        for (int k = 0; k < FR_JUDGE_SYSTEMS; k++) {
            double mrr, hr = mean_hr(r, (enum fr_judge_system)k, &mrr);
            if (r->has[k])
                fprintf(out, " %10.4f", m == 0 ? hr : mrr);
        }
        fputc('\n', out);
    }
}

void fr_judge_print(FILE *out, const struct fr_judge_report *r)
{
    char name[32];

    fprintf(out, "stream: %zu events of %u users, %u items; %llu labels", r->events, r->users, r->items,
            (unsigned long long)r->all.labels);
    if (r->label_users > 0)
        fprintf(out, " of %llu users", (unsigned long long)r->label_users);
    fprintf(out, "\n");
    if (r->has[FR_JUDGE_LISTS])
        fprintf(out, "judged: %llu lists, %llu of them newest before a label; %llu labels without a list\n",
                (unsigned long long)r->lists, (unsigned long long)r->lists_counted,
                (unsigned long long)r->missing);
    if (r->struck > 0)
        fprintf(out, "struck: %llu items of judged lists, named twice or forbidden by the repeat policy\n",
                (unsigned long long)r->struck);
    if (r->forbidden > 0)
        fprintf(out, "note:   %llu labels are forbidden by the repeat policy: a miss for everybody\n",
                (unsigned long long)r->forbidden);
    overall(out, r);
    fprintf(out, "\n%-17s@%-2d %10s", "HR", r->n, "labels");
    for (int k = 0; k < FR_JUDGE_SYSTEMS; k++)
        if (r->has[k])
            fprintf(out, " %10s", heads[k]);
    fputc('\n', out);
    slice_row(out, r, "known users", &r->known);
    slice_row(out, r, "new users", &r->fresh);
    for (int b = 0; b < FR_JUDGE_HISTORY_BUCKETS; b++) {
        snprintf(name, sizeof(name), "%s event%s before", fr_judge_history_name(b), b == 0 ? "" : "s");
        slice_row(out, r, name, &r->history[b]);
    }
    segments(out, r);
}

static void json_system(struct fr_jsonw *w, const struct fr_judge_slice *s, enum fr_judge_system k, int n)
{
    char key[16];

    snprintf(key, sizeof(key), "hr@%d", n);
    fr_jsonw_key(w, key);
    fr_jsonw_f64(w, fr_judge_hr(s, k));
    snprintf(key, sizeof(key), "mrr@%d", n);
    fr_jsonw_key(w, key);
    fr_jsonw_f64(w, fr_judge_mrr(s, k));
}

static void json_slice(struct fr_jsonw *w, const struct fr_judge_report *r, const char *name, const struct fr_judge_slice *s)
{
    fr_jsonw_object(w);
    fr_jsonw_key(w, "name");
    fr_jsonw_z(w, name);
    fr_jsonw_key(w, "labels");
    fr_jsonw_u64(w, s->labels);
    if (s->labels > 0) {
        fr_jsonw_key(w, "from_ts");
        fr_jsonw_i64(w, s->from_ts);
        fr_jsonw_key(w, "to_ts");
        fr_jsonw_i64(w, s->to_ts);
    }
    for (int k = 0; k < FR_JUDGE_SYSTEMS; k++) {
        if (!r->has[k] || s->labels == 0)
            continue;
        fr_jsonw_key(w, keys[k]);
        fr_jsonw_object(w);
        json_system(w, s, (enum fr_judge_system)k, r->n);
        fr_jsonw_end(w, '}');
    }
    fr_jsonw_end(w, '}');
}

static void pair(struct fr_jsonw *w, const char *key, struct fr_judge_interval v)
{
    fr_jsonw_key(w, key);
    fr_jsonw_array(w);
    fr_jsonw_f64(w, v.low);
    fr_jsonw_f64(w, v.high);
    fr_jsonw_end(w, ']');
}

static void json_systems(struct fr_jsonw *w, const struct fr_judge_report *r)
{
    fr_jsonw_key(w, "systems");
    fr_jsonw_object(w);
    for (int k = 0; k < FR_JUDGE_SYSTEMS; k++) {
        enum fr_judge_system s = (enum fr_judge_system)k;
        double mrr, hr = mean_hr(r, s, &mrr);

        if (!r->has[k])
            continue;
        fr_jsonw_key(w, keys[k]);
        fr_jsonw_object(w);
        json_system(w, &r->all, s, r->n);
        if (r->label_users > 0) {
            pair(w, "hr_interval", r->hr[k]);
            pair(w, "mrr_interval", r->mrr[k]);
        }
        fr_jsonw_key(w, "coverage_items");
        fr_jsonw_u64(w, r->coverage[k]);
        fr_jsonw_key(w, "coverage");
        fr_jsonw_f64(w, r->items == 0 ? 0 : (double)r->coverage[k] / r->items);
        if (r->n_segments > 0) {
            fr_jsonw_key(w, "segments_mean_hr");
            fr_jsonw_f64(w, hr);
            fr_jsonw_key(w, "segments_mean_mrr");
            fr_jsonw_f64(w, mrr);
        }
        fr_jsonw_end(w, '}');
    }
    fr_jsonw_end(w, '}');
}

static void count(struct fr_jsonw *w, const char *key, uint64_t v)
{
    fr_jsonw_key(w, key);
    fr_jsonw_u64(w, v);
}

static void json_counts(struct fr_jsonw *w, const struct fr_judge_report *r, const struct fr_judge_stream_counts *c)
{
    count(w, "n", (uint64_t)r->n);
    count(w, "events", r->events);
    count(w, "users", r->users);
    count(w, "items", r->items);
    count(w, "labels", r->all.labels);
    count(w, "label_users", r->label_users);
    count(w, "labels_forbidden", r->forbidden);
    if (r->has[FR_JUDGE_LISTS]) {
        count(w, "lists", r->lists);
        count(w, "lists_counted", r->lists_counted);
        count(w, "lists_missing", r->missing);
        count(w, "items_struck", r->struck);
    }
    if (c != NULL) {
        count(w, "events_malformed", c->events_bad);
        count(w, "events_other", c->events_other);
        count(w, "events_repeated", c->events_again);
        count(w, "lists_malformed", c->lists_bad);
        count(w, "lists_to_requests", c->lists_asked);
        count(w, "lists_repeated", c->lists_again);
        count(w, "lists_without_trigger", c->lists_lost);
        count(w, "skew_ms", (uint64_t)c->skew_ms);
    }
}

void fr_judge_json(struct fr_buf *out, const struct fr_judge_report *r, const struct fr_judge_stream_counts *c)
{
    struct fr_jsonw w;
    char name[16];

    fr_jsonw_init(&w, out);
    fr_jsonw_object(&w);
    json_counts(&w, r, c);
    json_systems(&w, r);
    fr_jsonw_key(&w, "slices");
    fr_jsonw_array(&w);
    json_slice(&w, r, "known users", &r->known);
    json_slice(&w, r, "new users", &r->fresh);
    for (int b = 0; b < FR_JUDGE_HISTORY_BUCKETS; b++)
        json_slice(&w, r, fr_judge_history_name(b), &r->history[b]);
    fr_jsonw_end(&w, ']');
    fr_jsonw_key(&w, "segments");
    fr_jsonw_array(&w);
    for (uint32_t k = 0; k < r->n_segments; k++) {
        snprintf(name, sizeof(name), "%u", k + 1);
        json_slice(&w, r, name, &r->segment[k]);
    }
    fr_jsonw_end(&w, ']');
    fr_jsonw_end(&w, '}');
}
