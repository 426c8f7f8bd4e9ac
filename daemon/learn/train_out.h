/*
 * daemon/learn/train_out.h - whether a bundle can be written to a place, asked before hours of training.
 *
 * fr_bundle_check_target() and the folder above; the writer has the last word when the bundle is there.
 * Layer: daemon/base/, models/, daemon/learn/. Thread: any.
 */
#ifndef FR_LEARN_TRAIN_OUT_H
#define FR_LEARN_TRAIN_OUT_H

#include "daemon/base/err.h"

/**
 * `dir` is not there (folders above it are made), or holds the files of a bundle only; the folder that is above it may
 * be written. Nothing is changed.
 * @errors FR_EREFUSED it holds something else; FR_EINVAL no path, or too long; FR_EIO
 */
FR_MUST_CHECK enum fr_err fr_train_out_check(const char *dir, struct fr_fault *fault);

#endif
