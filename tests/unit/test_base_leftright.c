/* Left-right: readers always see one whole version, the writer never touches what a reader holds. The
 * planted race that proves the sanitizer build would notice is tests/script/planted_race.sh. */
#include "daemon/base/leftright.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

START_TEST(swap__no_reader__instances_alternate)
{
    struct fr_leftright lr;
    fr_leftright_init(&lr);
    for (int i = 0; i < 10; i++) {
        struct fr_leftright_pin a = fr_leftright_pin(&lr), b = fr_leftright_pin(&lr);
        int idle = fr_leftright_idle(&lr);
        ck_assert_int_eq(a.instance, i % 2);
        ck_assert_int_eq(b.instance, a.instance); /* pins nest */
        ck_assert_int_eq(idle, 1 - a.instance);
        fr_leftright_unpin(&lr, a);
        fr_leftright_unpin(&lr, b);
        fr_leftright_swap(&lr);
    }
}
END_TEST

struct swapper {
    struct fr_leftright *lr;
    _Atomic bool done;
};

static void *swap_once(void *arg)
{
    struct swapper *s = arg;
    fr_leftright_swap(s->lr);
    atomic_store(&s->done, true);
    return NULL;
}

/* A pinned reader holds the swap up, but no new reader: those get the new instance at once. */
START_TEST(swap__reader_inside__waits_for_it_and_no_reader_waits)
{
    for (int round = 0; round < 20; round++) {
        struct fr_leftright lr;
        struct fr_leftright_pin old, other;
        struct swapper s;
        pthread_t t;
        fr_leftright_init(&lr);
        for (int i = 0; i < round % 4; i++)
            fr_leftright_swap(&lr);
        old = fr_leftright_pin(&lr);
        s.lr = &lr;
        atomic_init(&s.done, false);
        ck_assert_int_eq(pthread_create(&t, NULL, swap_once, &s), 0);
        do { /* until the writer has switched */
            other = fr_leftright_pin(&lr);
            fr_leftright_unpin(&lr, other);
            (void)sched_yield();
        } while (other.instance == old.instance);
        for (int i = 0; i < 2000; i++) {
            other = fr_leftright_pin(&lr);
            ck_assert_int_eq(other.instance, 1 - old.instance);
            fr_leftright_unpin(&lr, other);
        }
        ck_assert(!atomic_load(&s.done)); /* cannot be: we still hold the old one */
        fr_leftright_unpin(&lr, old);
        ck_assert_int_eq(pthread_join(t, NULL), 0);
        ck_assert(atomic_load(&s.done));
    }
}
END_TEST

#define WORDS 64

struct world {
    struct fr_leftright lr;
    uint64_t data[2][WORDS]; /* plain memory: a race is for the sanitizer to see */
    _Atomic bool stop;
    _Atomic long torn, backwards, reads;
};

static void *reader(void *arg)
{
    struct world *w = arg;
    uint64_t last = 0;
    long n = 0;
    while (!atomic_load_explicit(&w->stop, memory_order_relaxed) || n == 0) {
        struct fr_leftright_pin pin = fr_leftright_pin(&w->lr);
        const uint64_t *d = w->data[pin.instance];
        uint64_t first = d[0];
        for (int i = 1; i < WORDS; i++)
            if (d[i] != first)
                atomic_fetch_add(&w->torn, 1);
        fr_leftright_unpin(&w->lr, pin);
        if (first < last)
            atomic_fetch_add(&w->backwards, 1);
        last = first;
        n++;
        if (n % 16 == 0)
            (void)sched_yield();
    }
    atomic_fetch_add(&w->reads, n);
    return NULL;
}

START_TEST(swap__readers_all_the_time__whole_versions_in_order)
{
    enum { READERS = 4, VERSIONS = 3000 };
    static struct world w;
    pthread_t t[READERS];
    fr_leftright_init(&w.lr);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, reader, &w), 0);
    for (uint64_t v = 1; v <= VERSIONS; v++) {
        for (int side = 0; side < 2; side++) {
            uint64_t *d = w.data[fr_leftright_idle(&w.lr)];
            for (int i = 0; i < WORDS; i++)
                d[i] = v;
            if (side == 0)
                fr_leftright_swap(&w.lr);
        }
    }
    atomic_store(&w.stop, true);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_join(t[i], NULL), 0);
    ck_assert_int_eq(atomic_load(&w.torn), 0);
    ck_assert_int_eq(atomic_load(&w.backwards), 0);
    ck_assert_int_ge(atomic_load(&w.reads), READERS);
    ck_assert_uint_eq(w.data[0][0], VERSIONS);
    ck_assert_uint_eq(w.data[1][WORDS - 1], VERSIONS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("base/leftright");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, swap__no_reader__instances_alternate);
    tcase_add_test(tc, swap__reader_inside__waits_for_it_and_no_reader_waits);
    tcase_add_test(tc, swap__readers_all_the_time__whole_versions_in_order);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
