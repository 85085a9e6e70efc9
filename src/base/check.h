/*
 * check: assertions that stay on.
 *
 * check() guards what only a programmer's error can break; it is on in every build and aborts with
 * file, line, function and expression. Corrupt data and bad input are never a check: they are a
 * result. check_slow() is for tests that cost more than the code they guard; it is on in debug builds.
 */
#pragma once

#define check(x) (__builtin_expect(!!(x), 1) ? (void)0 : check_failed(#x, __FILE__, __LINE__, __func__))

#ifdef TAYORI_CHECK_SLOW
#define check_slow(x) check(x)
#else
#define check_slow(x) ((void)0)
#endif

/* A branch that cannot be reached. */
#define unreachable() check_failed("unreachable", __FILE__, __LINE__, __func__)

_Noreturn void check_failed(const char *expression, const char *file, int line, const char *function);

#define CLEANUP(function) __attribute__((cleanup(function)))
#define array_size(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that holds `member` at `pointer`. */
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
