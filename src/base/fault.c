#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

result fault_set(struct fault *fault, result code, const char *file, int line, const char *format, ...)
{
    if (!fault) return code;
    *fault = (struct fault){.code = code, .file = file, .line = line};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault->detail, sizeof fault->detail, format, arguments);
    va_end(arguments);
    return code;
}

result fault_tell(struct fault *fault, const char *format, ...)
{
    if (!fault) return IO;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault->client_text, sizeof fault->client_text, format, arguments);
    va_end(arguments);
    for (char *c = fault->client_text; *c; c++)
        if (*c == '\r' || *c == '\n') *c = ' ';
    return fault->code;
}

void fault_context(struct fault *fault, const char *format, ...)
{
    if (!fault) return;
    char before[FAULT_DETAIL_MAX], context[FAULT_DETAIL_MAX / 2];
    memcpy(before, fault->detail, sizeof before);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context, sizeof context, format, arguments);
    va_end(arguments);
    snprintf(fault->detail, sizeof fault->detail, "%s: %.*s", context, FAULT_DETAIL_MAX / 2, before);
}

const char *result_name(result code)
{
    static const char *const names[] = {
        [OK] = "ok", [END] = "end", [NOT_FOUND] = "not-found", [EXISTS] = "exists", [INVALID] = "invalid",
        [TOO_BIG] = "too-big", [OVER_QUOTA] = "over-quota", [DENIED] = "denied", [BUSY] = "busy",
        [CONFLICT] = "conflict", [TIMEOUT] = "timeout", [CANCELLED] = "cancelled",
        [UNAVAILABLE] = "unavailable", [UNKNOWN_OUTCOME] = "unknown-outcome", [CORRUPT] = "corrupt", [IO] = "io",
    };
    return (size_t)code < array_size(names) ? names[code] : "unknown";
}
