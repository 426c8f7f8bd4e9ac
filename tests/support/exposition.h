/*
 * tests/support/exposition.h - a strict, independent reader of the Prometheus text format 0.0.4.
 *
 * Refuses: a sample without HELP and TYPE before it, either given twice, a family whose lines do not
 * stand together, a repeated sample, a name or label that is not one, a bad escape, a number that is
 * none, a counter below zero or without _total; for histograms: bounds not rising, counts falling, no
 * +Inf, _count unequal to +Inf, a missing or negative _sum, series that differ in more than `le`.
 */
#ifndef FR_TESTS_EXPOSITION_H
#define FR_TESTS_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>

/** Check a whole page. @return true, or false with the reason and line number in `why` */
bool exposition_check(const char *text, char *why, size_t cap);

/** Value of the sample written exactly `sample` ("name" or "name{a=\"b\"}"); -1 when absent. */
double exposition_value(const char *text, const char *sample);

#endif
