/* Time and randomness, in one place so that a test can set them. Thread-safe,
 * except for clock_set_for_test(). */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds since 1970 (wall clock). */
int64_t clock_now_ns(void);

/* Milliseconds of a clock that never jumps. */
int64_t clock_mono_ms(void);

/* Wait without using the processor. */
void clock_sleep_ms(int64_t ms);

/* Unpredictable bytes (getrandom). */
void clock_random(void *out, size_t len);

/* From now on the wall clock says this, until called with 0. Only for tests,
 * before any thread is started. */
void clock_set_for_test(int64_t now_ns);
