/* Each layer and loss, forward and backward, against PyTorch: a failing layer is named. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "models/nn.h"
#include "models/train/loss.h"
#include "models/train/nn_back.h"
#include "tests/support/golden.h"

#define ATOL 1e-5
#define RTOL 1e-4
#define IN 5
#define OUT 13

static struct golden g;
static char key[64];
static const int rows[] = {1, 3, 7};

static void setup(void)
{
    golden_open(&g, "layer_ops.frg");
}

static void teardown(void)
{
    golden_close(&g);
}

static const char *name(const char *op, int b, const char *what)
{
    (void)snprintf(key, sizeof(key), "%s%d.%s", op, b, what);
    return key;
}

static const float *in(const char *op, int b, const char *what, int n)
{
    return golden_f32(&g, name(op, b, what), (size_t)n);
}

START_TEST(linear__forward_and_backward__as_pytorch)
{
    int b = rows[_i];
    float y[7 * OUT], dx[7 * IN], dw[OUT * IN] = {0}, db[OUT] = {0};
    const float *x = in("linear", b, "x", b * IN), *w = in("linear", b, "w", OUT * IN);
    const float *dy = in("linear", b, "dy", b * OUT);

    fr_nn_linear(x, IN, w, in("linear", b, "b", OUT), b, IN, OUT, y, OUT);
    golden_check(&g, name("linear", b, "y"), y, (size_t)(b * OUT), ATOL, RTOL);
    fr_back_linear(x, w, IN, dy, b, IN, OUT, dw, db, dx);
    golden_check(&g, name("linear", b, "dx"), dx, (size_t)(b * IN), ATOL, RTOL);
    golden_check(&g, name("linear", b, "dw"), dw, OUT * IN, ATOL, RTOL);
    golden_check(&g, name("linear", b, "db"), db, OUT, ATOL, RTOL);
}
END_TEST

START_TEST(relu__forward_and_backward__as_pytorch)
{
    int b = rows[_i];
    size_t n = (size_t)(b * OUT);
    float y[7 * OUT], d[7 * OUT];

    memcpy(y, in("relu", b, "x", b * OUT), n * sizeof(*y));
    memcpy(d, in("relu", b, "dy", b * OUT), n * sizeof(*d));
    fr_nn_relu(y, n);
    golden_check(&g, name("relu", b, "y"), y, n, 0, 0);
    fr_back_relu(y, d, n);
    golden_check(&g, name("relu", b, "dx"), d, n, 0, 0);
}
END_TEST

START_TEST(l2norm__forward_and_backward__as_pytorch)
{
    int b = rows[_i];
    float y[7 * OUT], d[7 * OUT];
    const float *x = in("l2norm", b, "x", b * OUT), *dy = in("l2norm", b, "dy", b * OUT);

    for (int i = 0; i < b; i++) {
        float norm = fr_nn_l2norm(x + i * OUT, OUT, y + i * OUT);
        fr_back_l2norm(y + i * OUT, norm, dy + i * OUT, OUT, d + i * OUT);
    }
    golden_check(&g, name("l2norm", b, "y"), y, (size_t)(b * OUT), ATOL, RTOL);
    golden_check(&g, name("l2norm", b, "dx"), d, (size_t)(b * OUT), ATOL, RTOL);
}
END_TEST

START_TEST(bce__logits_up_to_90__as_pytorch)
{
    const float *z = golden_f32(&g, "bce.z", 8), *y = golden_f32(&g, "bce.y", 8);
    float loss[8], dz[8], s[8];

    for (int i = 0; i < 8; i++) {
        loss[i] = (float)fr_loss_bce(z[i], y[i], &dz[i]);
        s[i] = fr_nn_sigmoid(z[i]);
    }
    golden_check(&g, "bce.loss", loss, 8, 1e-6, 1e-5);
    golden_check(&g, "bce.dz", dz, 8, 1e-6, 1e-5);
    golden_check(&g, "bce.sigmoid", s, 8, 1e-7, 1e-6);
}
END_TEST

START_TEST(softmax__one_entry_large_equal_and_random__as_pytorch)
{
    float dz[OUT], loss;
    (void)snprintf(key, sizeof(key), "softmax%d.label", _i);
    int label = *(const int32_t *)golden_get(&g, key)->data;
    (void)snprintf(key, sizeof(key), "softmax%d.z", _i);
    const struct golden_tensor *z = golden_get(&g, key);

    loss = (float)fr_loss_softmax(z->data, z->n, (size_t)label, dz);
    (void)snprintf(key, sizeof(key), "softmax%d.loss", _i);
    golden_check(&g, key, &loss, 1, 1e-6, 1e-5);
    (void)snprintf(key, sizeof(key), "softmax%d.dz", _i);
    golden_check(&g, key, dz, z->n, 1e-6, 1e-5);
}
END_TEST

START_TEST(ccl__one_entry_at_the_margin_masked_and_random__as_pytorch)
{
    float cos[OUT], d[OUT], loss;
    const float *margin = in("ccl", _i, "margin", 1), *weight = in("ccl", _i, "weight", 1);
    int label = *(const int32_t *)golden_get(&g, name("ccl", _i, "label"))->data;
    const struct golden_tensor *t = golden_get(&g, name("ccl", _i, "cos"));

    for (size_t k = 0; k < t->n; k++) {
        float x = ((const float *)t->data)[k];
        cos[k] = x < -2 ? -INFINITY : x;
    }
    loss = (float)fr_loss_ccl(cos, t->n, (size_t)label, *margin, *weight, d);
    golden_check(&g, name("ccl", _i, "d"), d, t->n, 1e-6, 1e-5);
    golden_check(&g, name("ccl", _i, "loss"), &loss, 1, 1e-6, 1e-5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("golden/layers");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, linear__forward_and_backward__as_pytorch, 0, 3);
    tcase_add_loop_test(tc, relu__forward_and_backward__as_pytorch, 0, 3);
    tcase_add_loop_test(tc, l2norm__forward_and_backward__as_pytorch, 0, 3);
    tcase_add_test(tc, bce__logits_up_to_90__as_pytorch);
    tcase_add_loop_test(tc, softmax__one_entry_large_equal_and_random__as_pytorch, 0, 4);
    tcase_add_loop_test(tc, ccl__one_entry_at_the_margin_masked_and_random__as_pytorch, 0, 4);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
