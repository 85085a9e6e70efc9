/* Fuzz targets that use worlds made for tests: a failed expectation there is a crash. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/test.h"

void test_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

_Noreturn void test_stop(void) { abort(); }
