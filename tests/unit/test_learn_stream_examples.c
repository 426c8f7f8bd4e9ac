/* Examples of a replayed stream: labels by hand, and a stream cut short gives the same ones. */
#include "daemon/learn/stream_examples.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/base/buf.h"
#include "daemon/base/rng.h"
#include "tests/support/feat.h"
#include "tests/support/model_fixture.h"

#define LINES 2000
#define CUT 1200

static struct fr_spec *spec;
static struct fr_buf stream;

static void setup(void)
{
    struct fr_rng r;

    spec = feat_spec(NULL);
    fr_buf_init(&stream);
    fr_rng_seed(&r, 3);
    for (int i = 0; i < LINES; i++) {
        unsigned user = (unsigned)fr_rng_below(&r, 40), item = (unsigned)fr_rng_below(&r, 90);
        fr_buf_printf(&stream,
                      "{\"event_id\":\"e%d\",\"type\":\"click\",\"user_id\":\"u%u\","
                      "\"item_id\":\"i%u\",\"ts\":%lld}\n",
                      i, user, item, 1790000000000LL + i * 5000LL);
    }
    ck_assert_int_eq(fr_buf_err(&stream), FR_OK);
}

static void teardown(void)
{
    fr_buf_done(&stream);
    fr_spec_free(spec);
}

struct seen {
    uint64_t row[LINES], label[LINES], cand[LINES];
    int n;
};

static enum fr_err note(void *ctx, const struct fr_stream_trigger *t)
{
    struct seen *s = ctx;
    struct fr_cell cells[512];
    struct fr_epoch view;

    s->row[t->line] = fr_cells_hash(t->cut->user_cells, spec->fields.n_cells[FR_ENTITY_USER]) ^
                      fr_cells_hash(t->cut->context_cells, spec->fields.n_cells[FR_ENTITY_CONTEXT]);
    s->label[t->line] = t->label;
    fr_epochs_pin(t->ep, &view);
    ck_assert_uint_le(spec->fields.n_cells[FR_ENTITY_ITEM], 512);
    fr_row_item(spec, view.table, 0, t->generation, t->cut->ts, cells);
    s->cand[t->line] = fr_cells_hash(cells, spec->fields.n_cells[FR_ENTITY_ITEM]) +
                       fr_item_table_size(view.table);
    fr_epochs_unpin(t->ep, &view);
    s->n++;
    return FR_OK;
}

static void replay(uint64_t until, struct fr_stream_labels *labels, struct seen *s)
{
    struct fr_stream_input in = {.spec = spec, .events = {stream.p, stream.n}, .until = until};
    struct fr_epochs_config ec = {.m = 16, .ef_construction = 50, .ef_search = 50, .flat = true};
    struct fr_fault fault = {FR_OK, NULL, 0, ""};
    struct fr_epochs *ep;

    ck_assert_int_eq(fr_stream_labels_find(&in, labels, &fault), FR_OK);
    ck_assert_int_eq(fr_epochs_new(spec, &ec, &ep), FR_OK);
    ck_assert_int_eq(fr_stream_replay(&in, labels, ep, note, s, &fault), FR_OK);
    fr_epochs_free(ep);
}

START_TEST(the_label_is_the_users_next_item)
{
    static struct seen s;
    struct fr_stream_labels labels;
    uint32_t user[LINES], item[LINES];
    struct fr_rng r;
    int n = 0;

    fr_rng_seed(&r, 3);
    for (int i = 0; i < LINES; i++) {
        user[i] = (uint32_t)fr_rng_below(&r, 40);
        item[i] = (uint32_t)fr_rng_below(&r, 90);
    }
    replay(0, &labels, &s);
    for (int i = 0; i < LINES; i++) {
        uint64_t want = 0;
        for (int k = i + 1; k < LINES && want == 0; k++) {
            char id[16];
            if (user[k] != user[i])
                continue;
            (void)snprintf(id, sizeof(id), "i%u", (unsigned)item[k]);
            want = fr_id_hash(spec->key, fr_str_z(id));
        }
        ck_assert_uint_eq(s.label[i], want);
        n += want != 0;
    }
    ck_assert_int_eq(s.n, n);
    ck_assert_uint_eq(labels.n_labels, (uint64_t)n);
    ck_assert_uint_eq(labels.n_refused, 0);
    fr_stream_labels_done(&labels);
}
END_TEST

static void only_views_trigger(struct fr_spec_input *in)
{
    static struct fr_type_input types[FR_MAX_EVENT_TYPES];

    for (int i = 0; i < in->n_types; i++) {
        types[i] = in->types[i];
        types[i].trigger = fr_str_eq(types[i].name, FR_STR_LIT("view"));
    }
    in->types = types;
}

START_TEST(of_several_positives_after_a_trigger_the_first_is_its_label)
{
    static const char text[] = "{\"event_id\":\"a\",\"type\":\"view\",\"user_id\":\"u\",\"item_id\":\"i1\",\"ts\":1000}\n"
                               "{\"event_id\":\"b\",\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"i2\",\"ts\":2000}\n"
                               "{\"event_id\":\"c\",\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"i3\",\"ts\":3000}\n";
    struct fr_spec *views = feat_spec(only_views_trigger);
    struct fr_stream_input in = {.spec = views, .events = {text, sizeof(text) - 1}};
    struct fr_stream_labels labels;

    ck_assert_int_eq(fr_stream_labels_find(&in, &labels, NULL), FR_OK);
    ck_assert_uint_eq(labels.n_refused, 0);
    ck_assert_uint_eq(labels.n_labels, 1);
    ck_assert_uint_eq(labels.item[0], fr_id_hash(views->key, FR_STR_LIT("i2")));
    ck_assert_uint_eq(labels.item[1], 0); /* a click asks for nothing here */
    fr_stream_labels_done(&labels);
    fr_spec_free(views);
}
END_TEST

START_TEST(a_shorter_stream_gives_the_same_examples)
{
    static struct seen whole, cut;
    struct fr_stream_labels a, b;
    int n = 0;

    replay(0, &a, &whole);
    replay(CUT, &b, &cut);
    for (int i = 0; i < CUT; i++) {
        if (cut.label[i] == 0)
            continue;
        ck_assert_uint_eq(cut.label[i], whole.label[i]);
        ck_assert_uint_eq(cut.row[i], whole.row[i]);
        ck_assert_uint_eq(cut.cand[i], whole.cand[i]);
        n++;
    }
    ck_assert_int_ge(n, 1000);
    ck_assert_int_eq(n, cut.n);
    fr_stream_labels_done(&a);
    fr_stream_labels_done(&b);
}
END_TEST

START_TEST(lines_that_are_no_events_are_counted)
{
    static const char text[] = "{\"event_id\":\"a\",\"type\":\"click\",\"user_id\":\"u\",\"item_id\":\"i\",\"ts\":5}\n"
                               "nonsense\n{\"event_id\":\"b\"}\n\n";
    struct fr_stream_input in = {.spec = spec, .events = {text, sizeof(text) - 1}};
    struct fr_stream_labels labels;

    ck_assert_int_eq(fr_stream_labels_find(&in, &labels, NULL), FR_OK);
    ck_assert_uint_eq(labels.n, 4);
    ck_assert_uint_eq(labels.n_refused, 3);
    ck_assert_msg(strncmp(labels.first_refused, "event 2: value: ", 16) == 0, "%s", labels.first_refused);
    ck_assert_uint_eq(labels.n_labels, 0);
    fr_stream_labels_done(&labels);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("learn_stream_examples");
    TCase *tc = tcase_create("examples");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_label_is_the_users_next_item);
    tcase_add_test(tc, of_several_positives_after_a_trigger_the_first_is_its_label);
    tcase_add_test(tc, a_shorter_stream_gives_the_same_examples);
    tcase_add_test(tc, lines_that_are_no_events_are_counted);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
