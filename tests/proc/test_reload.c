/*
 * tests/proc/test_reload.c - SIGHUP on the real daemon: broken bundles and configurations refused with
 * their reason while lists stay as they were, good ones taken over whole, towers and index as a pair.
 *
 * Bundles come from `freshet train` on a small stream; lists are asked for through the requests topic
 * with a fixed event time, so the same models must give the same list.
 * ctest: timeout 400
 */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/alloc.h"
#include "daemon/base/arena.h"
#include "daemon/base/hash.h"
#include "daemon/base/rng.h"
#include "daemon/stream/recommendation_codec.h"
#include "models/safetensors.h"
#include "tests/support/daemon_rig.h"
#include "tests/support/exposition.h"
#include "tests/support/tmpdir.h"

#define ITEMS 30
#define LIST 8
#define NOW_MS INT64_C(1790100000000)

static struct daemon_rig d;
static char *tmp;
static struct fr_arena *ar;
static char yaml[300];

static const char *at(const char *name)
{
    static char path[4][400];
    static int turn;
    char *p = path[turn++ % 4];

    ck_assert(tmpdir_path(tmp, name, p, 400));
    return p;
}

/* ---- bundles ---- */

static void write_stream(void)
{
    struct fr_buf b;
    struct fr_rng r;

    fr_rng_seed(&r, 9);
    fr_buf_init(&b);
    for (int i = 0; i < ITEMS; i++)
        fr_buf_printf(&b, "{\"item_id\":\"i%d\",\"title\":\"Item %d\",\"categories\":[\"c%d\"]}\n", i, i, i % 5);
    ck_assert(tmpdir_write(at("items.jsonl"), b.p, b.n));
    fr_buf_clear(&b);
    for (int i = 0; i < 2000; i++) {
        int u = (int)fr_rng_below(&r, 50);
        int item = (u * 7 + (int)fr_rng_below(&r, 6)) % ITEMS;
        fr_buf_printf(&b, "{\"event_id\":\"e%d\",\"type\":\"click\",\"user_id\":\"u%d\",\"item_id\":\"i%d\",\"ts\":%lld,\"value\":%d}\n",
                      i, u, item, (long long)(NOW_MS - 3000000 + i * 1000), item % 5 * 60 + 1);
    }
    ck_assert(tmpdir_write(at("events.jsonl"), b.p, b.n));
    fr_buf_done(&b);
}

/* @param head  "log": the ranker learns the clicks' values too; "none" */
static void train(const char *version, const char *seed, const char *out_dir, const char *head)
{
    const char *argv[] = {FR_BUILD_DIR "/freshet", "train", "--quiet", "--threads", "1", "--events", at("events.jsonl"),
                          "--items", at("items.jsonl"), "--out", at(out_dir), "--seed", seed, "--version", version,
                          "--value-head", head, NULL};
    char out[4000] = "";

    ck_assert_msg(proc_run(argv, 120000, out, sizeof(out)) == 0, "%s", out);
}

static void copy(const char *from, const char *to)
{
    size_t n = 0;
    char *p = tmpdir_read(at(from), &n);

    ck_assert_msg(p != NULL, "%s", from);
    (void)unlink(at(to));
    ck_assert(tmpdir_write(at(to), p, n));
    fr_free(p);
}

/* live/ := a good copy of `dir`. */
static void install(const char *dir)
{
    static const char *const files[] = {"two_tower/manifest.json", "two_tower/weights.safetensors", "deepfm/manifest.json",
                                        "deepfm/weights.safetensors"};

    (void)mkdir(at("live"), 0700);
    (void)mkdir(at("live/two_tower"), 0700);
    (void)mkdir(at("live/deepfm"), 0700);
    for (int i = 0; i < 4; i++) {
        char from[100], to[100];
        (void)snprintf(from, sizeof(from), "%s/%s", dir, files[i]);
        (void)snprintf(to, sizeof(to), "live/%s", files[i]);
        copy(from, to);
    }
}

static void write_config(const char *retrieval, const char *ranker, const char *more)
{
    char text[2000];
    int n = snprintf(text, sizeof(text),
                     "recommend:\n  n: %d\n  repeat: allow\n  candidates: 12\n  popular: 0\n  request_max_age_ms: 0\n"
                     "models:\n  retrieval: \"%s\"\n  ranker: \"%s\"\n%s",
                     LIST, at(retrieval), at(ranker), more);

    ck_assert(tmpdir_write(yaml, text, (size_t)n));
}

static void good_config(void)
{
    write_config("live/two_tower", "live/deepfm", "");
}

static void setup(void)
{
    const char *set[] = {"--config", yaml, NULL};

    tmp = tmpdir_make();
    ck_assert_ptr_nonnull(tmp);
    ck_assert(tmpdir_path(tmp, "freshet.yaml", yaml, sizeof(yaml)));
    ck_assert_int_eq(fr_arena_new(1 << 20, 0, &ar), FR_OK);
    write_stream();
    train("1", "1", "a", "none");
    train("2", "2", "b", "none");
    install("a");
    good_config();
    daemon_rig_init(&d, true);
    daemon_start(&d, set);
    daemon_wait_ready(&d);
    daemon_catalogue(&d, ITEMS);
    ck_assert(daemon_get_until(&d, "/metrics", 200, "freshet_index_items 30\n", 30000));
    for (int i = 0; i < 4; i++) {
        char json[200];
        (void)snprintf(json, sizeof(json),
                       "{\"event_id\":\"x%d\",\"type\":\"click\",\"user_id\":\"u1\",\"item_id\":\"i%d\",\"ts\":%lld}", i,
                       7 + i, (long long)(NOW_MS + i * 1000));
        daemon_produce(&d, FR_TOPIC_EVENTS, "u1", json);
    }
    daemon_flush(&d);
    ck_assert(daemon_read_until(&d, FR_TOPIC_RECOMMENDATIONS, 4, 30000));
}

static void teardown(void)
{
    daemon_rig_done(&d);
    fr_arena_free(ar);
    tmpdir_free(tmp);
}

/* ---- lists ---- */

struct list {
    char request[40];
    bool found;
    int n;
    char item[LIST][16];
    float score[LIST];
    char retrieval[64], ranker[64];
};

static void text_of(char *out, size_t cap, struct fr_str s)
{
    (void)snprintf(out, cap, "%.*s", (int)s.n, s.n == 0 ? "" : s.p);
}

static void take(struct list *l, const struct fr_recommendation *r)
{
    l->found = true;
    l->n = r->n_items > LIST ? LIST : (int)r->n_items;
    text_of(l->retrieval, sizeof(l->retrieval), r->retrieval);
    text_of(l->ranker, sizeof(l->ranker), r->ranker);
    for (int i = 0; i < l->n; i++) {
        text_of(l->item[i], sizeof(l->item[i]), r->items[i].item_id);
        l->score[i] = r->items[i].score;
    }
}

/* ctx: an array of lists ended by one without a request */
static void find(void *ctx, const struct fr_record *rec)
{
    struct fr_recommendation r;
    struct fr_codec_error ce;

    fr_arena_reset(ar);
    ck_assert_int_eq(fr_recommendation_decode(ar, rec->value, &r, &ce), FR_OK);
    for (struct list *l = ctx; l->request[0] != '\0'; l++)
        if (fr_str_eqz(r.request_id, l->request))
            take(l, &r);
}

static void request(const char *id)
{
    char json[200];

    (void)snprintf(json, sizeof(json), "{\"request_id\":\"%.60s\",\"user_id\":\"u1\",\"ts\":%lld}", id,
                   (long long)(NOW_MS + 60000));
    daemon_produce(&d, FR_TOPIC_REQUESTS, "u1", json);
}

/* Ask for the user's list now. */
static struct list ask(const char *id)
{
    struct list l[2];
    int64_t end = proc_now_ms() + proc_deadline_ms(30000);

    memset(l, 0, sizeof(l));
    (void)snprintf(l[0].request, sizeof(l[0].request), "%s", id);
    request(id);
    daemon_flush(&d);
    while (!l[0].found) {
        ck_assert_msg(proc_now_ms() < end, "%s was not answered:\n%s", id, daemon_log(&d));
        (void)daemon_read(&d, FR_TOPIC_RECOMMENDATIONS, find, l);
    }
    ck_assert_int_eq(l[0].n, LIST);
    return l[0];
}

static bool same(const struct list *a, const struct list *b)
{
    if (a->n != b->n || strcmp(a->retrieval, b->retrieval) != 0 || strcmp(a->ranker, b->ranker) != 0)
        return false;
    for (int i = 0; i < a->n; i++)
        if (strcmp(a->item[i], b->item[i]) != 0 || fabsf(a->score[i] - b->score[i]) > 1e-5f)
            return false;
    return true;
}

/* ---- reloads ---- */

static int count(const char *text)
{
    int n = 0;

    for (const char *p = daemon_log(&d); (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

/* SIGHUP, and the line that it leads to. */
static const char *hup(void)
{
    int before = count("reload=");
    int64_t end = proc_now_ms() + proc_deadline_ms(30000);
    const char *line = NULL;

    ck_assert(proc_signal(d.proc, SIGHUP));
    while (count("reload=") == before) {
        ck_assert_msg(proc_now_ms() < end, "%s", daemon_log(&d));
        proc_pause_ms(10);
    }
    for (const char *p = daemon_log(&d); (p = strstr(p, "reload=")) != NULL; p++)
        line = p;
    return line;
}

static void edit_manifest(const char *bundle, const char *from, const char *to)
{
    char name[100];
    size_t n = 0;
    char *p, *hit;
    struct fr_buf b;

    (void)snprintf(name, sizeof(name), "live/%s/manifest.json", bundle);
    p = tmpdir_read(at(name), &n);
    ck_assert_ptr_nonnull(p);
    hit = strstr(p, from);
    ck_assert_msg(hit != NULL, "no %s", from);
    fr_buf_init(&b);
    fr_buf_put(&b, p, (size_t)(hit - p));
    fr_buf_puts(&b, to);
    fr_buf_puts(&b, hit + strlen(from));
    ck_assert(tmpdir_write(at(name), b.p, b.n));
    fr_buf_done(&b);
    fr_free(p);
}

/* Change the first value of the ranker's first layer; the manifest's CRC follows. */
static void set_weight(float v, float scale)
{
    size_t n = 0;
    char from[60], to[60];
    char *p = tmpdir_read(at("live/deepfm/weights.safetensors"), &n);
    struct fr_tensor *t = NULL;
    int k = 0;

    ck_assert_ptr_nonnull(p);
    (void)snprintf(from, sizeof(from), "\"crc32\":%u", (unsigned)fr_crc32(0, p, n));
    ck_assert_int_eq(fr_safetensors_parse((struct fr_str){p, n}, ar, &t, &k, NULL), FR_OK);
    for (int i = 0; i < k; i++) {
        if (strcmp(t[i].name, "mlp.0.weight") != 0)
            continue;
        for (size_t j = 0; j < fr_tensor_count(&t[i]); j++) {
            char *w = p + ((const char *)t[i].data - p) + j * sizeof(float);
            float f;
            memcpy(&f, w, sizeof(f));
            f = f * scale + v;
            memcpy(w, &f, sizeof(f));
        }
    }
    (void)snprintf(to, sizeof(to), "\"crc32\":%u", (unsigned)fr_crc32(0, p, n));
    ck_assert_str_ne(from, to);
    ck_assert(tmpdir_write(at("live/deepfm/weights.safetensors"), p, n));
    edit_manifest("deepfm", from, to);
    fr_free(p);
}

static void no_manifest(void)
{
    ck_assert_int_eq(unlink(at("live/deepfm/manifest.json")), 0);
}

static void no_weights(void)
{
    ck_assert_int_eq(unlink(at("live/two_tower/weights.safetensors")), 0);
}

static void cut(const char *name, size_t drop)
{
    size_t n = 0;
    char *p = tmpdir_read(at(name), &n);

    ck_assert(tmpdir_write(at(name), p, drop == 0 ? n / 2 : n - drop));
    fr_free(p);
}

static void cut_manifest(void)
{
    cut("live/two_tower/manifest.json", 0);
}

static void cut_weights(void)
{
    cut("live/deepfm/weights.safetensors", 4);
}

static void flip(void)
{
    size_t n = 0;
    char *p = tmpdir_read(at("live/two_tower/weights.safetensors"), &n);

    p[n - 5] = (char)(p[n - 5] ^ 4);
    ck_assert(tmpdir_write(at("live/two_tower/weights.safetensors"), p, n));
    fr_free(p);
}

static void nan_weight(void)
{
    set_weight(NAN, 1);
}

static void other_weights(void)
{
    set_weight(0.5f, 2);
}

static void link_weights(void)
{
    ck_assert_int_eq(rename(at("live/deepfm/weights.safetensors"), at("elsewhere")), 0);
    ck_assert_int_eq(symlink(at("elsewhere"), at("live/deepfm/weights.safetensors")), 0);
}

static void future(void)
{
    edit_manifest("two_tower", "bundle.v1", "bundle.v9");
}

static void other_features(void)
{
    edit_manifest("deepfm", "\"schema_hash\":\"", "\"schema_hash\":\"f0f0");
}

static void other_field(void)
{
    edit_manifest("two_tower", "\"history\"", "\"hystory\"");
}

static void ranker_as_retrieval(void)
{
    write_config("live/deepfm", "live/deepfm", "");
}

static void retrieval_as_ranker(void)
{
    write_config("live/two_tower", "live/two_tower", "");
}

static void nowhere(void)
{
    write_config("live/two_tower", "no/such/bundle", "");
}

static void unknown_key(void)
{
    write_config("live/two_tower", "live/deepfm", "state:\n  cache_user: 5\n");
}

static void needs_restart(void)
{
    write_config("live/two_tower", "live/deepfm", "lanes:\n  count: 2\nstate:\n  cache_users: 5\n");
}

static void bad_value(void)
{
    write_config("live/two_tower", "live/deepfm", "log:\n  level: shouting\n");
}

/* The tower of the new version is good, the ranker is not: nothing of both may come. */
static void half_good(void)
{
    install("b");
    flip();
    edit_manifest("deepfm", "\"version\":2", "\"version\":\"2\"");
}

static const struct {
    const char *what;
    void (*damage)(void);
    const char *reason;
} broken[] = {
    {"no manifest", no_manifest, "manifest.json"},
    {"no weights", no_weights, "weights.safetensors"},
    {"manifest cut", cut_manifest, "byte"},
    {"weights cut", cut_weights, "truncated"},
    {"a bit flipped", flip, "CRC"},
    {"NaN in the weights", nan_weight, "mlp.0.weight"},
    {"other weights, right CRC", other_weights, "selftest"},
    {"weights are a symbolic link", link_weights, "symbolic link"},
    {"schema of the future", future, "schema"},
    {"schema hash of other features", other_features, "schema_hash"},
    {"a field that is unknown here", other_field, "hystory"},
    {"a ranker as retrieval model", ranker_as_retrieval, "no retrieval model"},
    {"a retrieval model as ranker", retrieval_as_ranker, "no ranker"},
    {"no such folder", nowhere, "no/such/bundle"},
    {"a new tower and a broken new ranker", half_good, "CRC"},
    {"an unknown key", unknown_key, "cache_users"},
    {"keys that need a restart", needs_restart, "needs a restart: state.cache_users, lanes.count"},
    {"a value that is none", bad_value, "log.level"},
};

static struct list before;

static void one_refusal(int i)
{
    char id[40];
    const char *line;
    struct list after;

    install("a");
    good_config();
    fr_arena_reset(ar);
    broken[i].damage();
    line = hup();
    ck_assert_msg(strncmp(line, "reload=refused", 14) == 0, "%s: %s", broken[i].what, line);
    ck_assert_msg(strstr(line, broken[i].reason) != NULL, "%s: %s", broken[i].what, line);
    (void)snprintf(id, sizeof(id), "after-%d", i);
    after = ask(id);
    ck_assert_msg(same(&before, &after), "%s: the list changed", broken[i].what);
}

START_TEST(reload__broken_ones__refused_with_the_reason_and_lists_identical)
{
    int n = (int)(sizeof(broken) / sizeof(broken[0]));
    struct list after;

    before = ask("before");
    ck_assert_str_eq(before.retrieval, "two_tower@1");
    ck_assert_str_eq(before.ranker, "deepfm@1");
    for (int i = 0; i < n; i++)
        one_refusal(i);
    ck_assert_int_eq(daemon_get(&d, "/metrics"), 200);
    ck_assert(exposition_value(d.body.p, "freshet_model_version{job=\"ranker\",kind=\"deepfm\"}") == 1);
    ck_assert(daemon_get_until(&d, "/readyz", 200, NULL, 1000));
    printf("%d reloads refused, each with its reason\n", n);
    install("b");
    good_config();
    ck_assert_ptr_nonnull(strstr(hup(), "reload=ok changed=\"\""));
    after = ask("good");
    ck_assert_str_eq(after.retrieval, "two_tower@2");
    ck_assert_str_eq(after.ranker, "deepfm@2");
    ck_assert(!same(&before, &after));
    ck_assert_int_eq(daemon_get(&d, "/metrics"), 200);
    ck_assert(exposition_value(d.body.p, "freshet_model_version{job=\"retrieval\",kind=\"two_tower\"}") == 2);
    ck_assert(exposition_value(d.body.p, "freshet_model_reloads_total{result=\"ok\"}") == 1);
}
END_TEST

#define SWAPS 12
#define ASKED 360

START_TEST(reload__while_requests_flow__every_list_is_of_one_pair)
{
    static struct list l[ASKED + 1];
    struct list a, b;
    int of_a = 0, of_b = 0, missing = 0, torn = 0;

    a = ask("a");
    write_config("b/two_tower", "b/deepfm", "");
    ck_assert_int_eq(strncmp(hup(), "reload=ok", 9), 0);
    ck_assert_ptr_nonnull(strstr(daemon_log(&d), "changed=\"models.retrieval, models.ranker\""));
    b = ask("b");
    ck_assert(!same(&a, &b));
    for (int i = 0; i < ASKED; i++) {
        (void)snprintf(l[i].request, sizeof(l[i].request), "r%d", i);
        request(l[i].request);
        if (i % (ASKED / SWAPS) == ASKED / SWAPS / 2) {
            const char *dir = i / (ASKED / SWAPS) % 2 == 0 ? "a" : "b";
            char tower[30], ranker[30];
            (void)snprintf(tower, sizeof(tower), "%s/two_tower", dir);
            (void)snprintf(ranker, sizeof(ranker), "%s/deepfm", dir);
            write_config(tower, ranker, "");
            (void)proc_signal(d.proc, SIGHUP); /* its work runs beside the requests that follow */
        }
        (void)fr_sink_poll(d.sink, 0);
        proc_pause_ms(5); /* main looks for signals every 100 ms */
    }
    daemon_flush(&d);
    for (int64_t end = proc_now_ms() + proc_deadline_ms(30000);;) {
        (void)daemon_read(&d, FR_TOPIC_RECOMMENDATIONS, find, l);
        missing = 0;
        for (int i = 0; i < ASKED; i++)
            missing += !l[i].found;
        if (missing == 0 || proc_now_ms() >= end)
            break;
    }
    for (int i = 0; i < ASKED; i++) {
        bool is_a = same(&l[i], &a), is_b = same(&l[i], &b);
        of_a += is_a;
        of_b += is_b;
        torn += !is_a && !is_b;
    }
    printf("%d lists over %d reloads: %d of the first pair, %d of the second, %d of neither\n", ASKED,
           count("reload=ok"), of_a, of_b, torn);
    ck_assert_int_eq(missing, 0);
    ck_assert_int_eq(torn, 0);
    ck_assert_int_gt(of_a, 0);
    ck_assert_int_gt(of_b, 0);
    ck_assert_int_ge(count("reload=ok"), 4);
    ck_assert_int_eq(count("reload=refused"), 0);
}
END_TEST

START_TEST(reload__settings__taken_over_and_named)
{
    struct list l;

    write_config("live/two_tower", "live/deepfm", "log:\n  level: warn\n");
    ck_assert(proc_signal(d.proc, SIGHUP)); /* at level warn a success says nothing */
    ck_assert(daemon_get_until(&d, "/metrics", 200, "freshet_model_reloads_total{result=\"ok\"} 1\n", 20000));
    good_config();
    (void)proc_signal(d.proc, SIGHUP);
    {
        char text[800];
        int n = snprintf(text, sizeof(text),
                         "recommend:\n  n: 3\n  repeat: allow\n  candidates: 12\n  popular: 0\n  request_max_age_ms: 0\n"
                         "models:\n  retrieval: \"%s\"\n  ranker: \"\"\n",
                         at("live/two_tower"));
        ck_assert(daemon_get_until(&d, "/metrics", 200, "freshet_model_reloads_total{result=\"ok\"} 2\n", 20000));
        ck_assert(tmpdir_write(yaml, text, (size_t)n));
    }
    ck_assert_ptr_nonnull(strstr(hup(), "changed=\"recommend.n, models.ranker\""));
    {
        struct list two[2];
        memset(two, 0, sizeof(two));
        (void)snprintf(two[0].request, sizeof(two[0].request), "short");
        request("short");
        daemon_flush(&d);
        for (int64_t end = proc_now_ms() + proc_deadline_ms(20000); !two[0].found && proc_now_ms() < end;)
            (void)daemon_read(&d, FR_TOPIC_RECOMMENDATIONS, find, two);
        l = two[0];
    }
    ck_assert_int_eq(l.n, 3);
    ck_assert_str_eq(l.ranker, "");
    ck_assert_str_eq(l.retrieval, "two_tower@1");
    write_config("live/two_tower", "live/deepfm", "");
    ck_assert(tmpdir_write(yaml, "recommend:\n  repeat: forever\n", 29));
    ck_assert_ptr_nonnull(strstr(hup(), "recommend.repeat from or to forever"));
}
END_TEST

/* The value of an item's clicks in the stream. */
static int worth(const char *item)
{
    return (int)(strtol(item + 1, NULL, 10) % 5 * 60 + 1);
}

START_TEST(reload__a_ranker_with_a_value_head__its_powers_order_the_lists)
{
    struct list click, both, value;
    double by_click = 0, by_value = 0;

    train("3", "1", "c", "log");
    write_config("c/two_tower", "c/deepfm", "");
    ck_assert_int_eq(strncmp(hup(), "reload=ok", 9), 0);
    click = ask("click");
    ck_assert_str_eq(click.ranker, "deepfm@3");
    write_config("c/two_tower", "c/deepfm", "  score_value_power: 1\n");
    ck_assert_ptr_nonnull(strstr(hup(), "reload=ok changed=\"models.score_value_power\""));
    both = ask("both");
    write_config("c/two_tower", "c/deepfm", "  score_click_power: 0\n  score_value_power: 0.5\n");
    ck_assert_int_eq(strncmp(hup(), "reload=ok", 9), 0);
    value = ask("value");
    ck_assert(!same(&click, &both) && !same(&both, &value) && !same(&click, &value));
    for (int i = 0; i < LIST / 2; i++) {
        by_click += worth(click.item[i]);
        by_value += worth(value.item[i]);
        ck_assert(i == 0 || value.score[i] <= value.score[i - 1]);
    }
    /* sqrt of 181 and of 241 is 13 and 16: the head says values in their unit */
    ck_assert_msg(value.score[0] > 8 && value.score[0] < 24, "%g", (double)value.score[0]);
    ck_assert_msg(by_value > by_click, "worth of the first %d: %g by value, %g by click", LIST / 2, by_value, by_click);
    write_config("c/two_tower", "c/deepfm", "  score_click_power: 0\n  score_value_power: 0\n");
    ck_assert_ptr_nonnull(strstr(hup(), "models.score_value_power are both 0"));
    write_config("live/two_tower", "live/deepfm", "  score_value_power: 1\n");
    ck_assert_int_eq(strncmp(hup(), "reload=ok", 9), 0);
    ck_assert_ptr_nonnull(strstr(daemon_log(&d), "ranker=deepfm@1 has no value head"));
    ck_assert_str_eq(ask("one").ranker, "deepfm@1");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("freshetd/reload");
    TCase *tc = tcase_create("proc");
    SRunner *sr;
    int failed;

    if (!redis_server_available()) {
        printf("SKIP proc.reload: no redis-server program\n");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, reload__broken_ones__refused_with_the_reason_and_lists_identical);
    tcase_add_test(tc, reload__while_requests_flow__every_list_is_of_one_pair);
    tcase_add_test(tc, reload__settings__taken_over_and_named);
    tcase_add_test(tc, reload__a_ranker_with_a_value_head__its_powers_order_the_lists);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
