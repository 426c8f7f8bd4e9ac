/* Forward ops at their edges, and the perceptron against a naive twin. */
#include "models/nn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/rng.h"
#include "tests/support/model_fixture.h"

START_TEST(sigmoid_softplus__extreme_logits__no_overflow)
{
    mf_float_eq(fr_nn_sigmoid(0), 0.5f);
    mf_float_eq(fr_nn_sigmoid(90), 1.0f);
    mf_float_tol(fr_nn_sigmoid(-90), (float)exp(-90.0), 1e-45f);
    mf_float_eq(fr_nn_sigmoid(1e30f), 1.0f);
    mf_float_eq(fr_nn_sigmoid(-1e30f), 0.0f);
    ck_assert_double_eq_tol(fr_nn_softplus(0), log(2), 1e-15);
    ck_assert_double_eq(fr_nn_softplus(1000), 1000);
    ck_assert_double_eq(fr_nn_softplus(-1000), 0);
    ck_assert(!fr_is_finite(fr_nn_sigmoid(NAN)));
}
END_TEST

START_TEST(relu__nan_stays_nan_negative_zero_is_zero__no_hiding)
{
    float x[4] = {-1, -0.0f, 2, NAN};
    fr_nn_relu(x, 4);
    mf_float_eq(x[0], 0);
    mf_float_eq(x[2], 2);
    ck_assert(!fr_is_finite(x[3]));
}
END_TEST

START_TEST(l2norm__zero_tiny_and_large__unit_or_zero)
{
    float x[3] = {0, 0, 0}, y[3];
    mf_float_eq(fr_nn_l2norm(x, 3, y), 0);
    mf_float_eq(y[0], 0);
    float big[2] = {3e30f, 4e30f};
    mf_float_tol(fr_nn_l2norm(big, 2, y), 5e30f, 1e25f);
    mf_float_tol(y[1], 0.8f, 1e-6f);
    x[1] = NAN;
    (void)fr_nn_l2norm(x, 3, y);
    ck_assert(!fr_all_finite(y, 3));
}
END_TEST

/* A perceptron of random weights over the widths; tensors named as PyTorch names them. */
struct net {
    struct fr_tensor t[6];
    float data[6][13 * 13];
    int n;
};

static void make_net(struct net *net, const int *width, int layers)
{
    char name[FR_TENSOR_NAME];
    struct fr_rng r;
    fr_rng_seed(&r, 9);
    net->n = 0;
    for (int l = 0; l < layers; l++)
        for (int part = 0; part < 2; part++) {
            float *d = net->data[net->n];
            for (int i = 0; i < 13 * 13; i++)
                d[i] = (float)fr_rng_normal(&r);
            (void)snprintf(name, sizeof(name), "mlp.%d.%s", l, part ? "bias" : "weight");
            ck_assert_int_eq(fr_tensor_f32(&net->t[net->n++],
                                           name,
                                           (uint64_t)width[l + 1],
                                           part ? 0 : (uint64_t)width[l],
                                           d),
                             FR_OK);
        }
}

START_TEST(mlp__three_layers_odd_widths__as_naive)
{
    const int width[] = {5, 13, 7, 3};
    static struct net net;
    struct fr_mlp mlp;
    struct fr_arena *ar = NULL;
    float x[7 * 5], y[7 * 3];
    struct fr_rng r;
    make_net(&net, width, 3);
    ck_assert_int_eq(fr_mlp_bind(&mlp, "mlp", width, 3, false, net.t, net.n, NULL), FR_OK);
    ck_assert_int_eq(fr_arena_new(1 << 16, 0, &ar), FR_OK);
    fr_rng_seed(&r, 10);
    for (int i = 0; i < 35; i++)
        x[i] = (float)fr_rng_normal(&r);
    for (int b = 1; b <= 7; b += 2) {
        ck_assert_int_eq(fr_mlp_forward(&mlp, 0, x, b, ar, y), FR_OK);
        for (int i = 0; i < b; i++) {
            double h[2][13];
            for (int k = 0; k < 5; k++)
                h[0][k] = (double)x[i * 5 + k];
            for (int l = 0; l < 3; l++)
                for (int o = 0; o < width[l + 1]; o++) {
                    double s = (double)net.data[2 * l + 1][o];
                    for (int k = 0; k < width[l]; k++)
                        s += (double)net.data[2 * l][o * width[l] + k] * h[l % 2][k];
                    h[1 - l % 2][o] = l < 2 && s < 0 ? 0 : s;
                }
            for (int o = 0; o < 3; o++)
                ck_assert_double_eq_tol((double)y[i * 3 + o], h[1][o], 1e-4);
        }
    }
    fr_arena_free(ar);
}
END_TEST

START_TEST(mlp_bind__missing_or_wrong_tensor__named)
{
    const int width[] = {5, 13, 7, 3}, other[] = {5, 13, 9, 3};
    static struct net net;
    struct fr_mlp mlp = {.n_layers = 77};
    struct fr_fault f = {0};
    make_net(&net, width, 3);
    ck_assert_int_eq(fr_mlp_bind(&mlp, "mlp", width, 3, false, net.t, 5, &f), FR_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(f.msg, "mlp.2.bias"));
    ck_assert_int_eq(fr_mlp_bind(&mlp, "mlp", other, 3, false, net.t, 6, &f), FR_EMISMATCH);
    ck_assert_ptr_nonnull(strstr(f.msg, "mlp.1.weight"));
    ck_assert_int_eq(fr_mlp_bind(&mlp, "mlp", width, 99, false, net.t, 6, &f), FR_EINVAL);
    ck_assert_int_eq(mlp.n_layers, 77);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/nn");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, sigmoid_softplus__extreme_logits__no_overflow);
    tcase_add_test(tc, relu__nan_stays_nan_negative_zero_is_zero__no_hiding);
    tcase_add_test(tc, l2norm__zero_tiny_and_large__unit_or_zero);
    tcase_add_test(tc, mlp__three_layers_odd_widths__as_naive);
    tcase_add_test(tc, mlp_bind__missing_or_wrong_tensor__named);
    suite_add_tcase(s, tc);
    return mf_run(s);
}
