#include "formats/smtp_reply.h"

#include <stdio.h>

#include "base/check.h"

static const struct smtp_status statuses[SMTP_STATUS_COUNT] = {
#define SMTP_STATUS(name, code, subject, detail, text) [SMTP_##name] = {code, subject, detail, text},
#include "formats/smtp_status.def"
#undef SMTP_STATUS
};

const struct smtp_status *smtp_status(enum smtp_status_name name)
{
    check(name < SMTP_STATUS_COUNT);
    return &statuses[name];
}

static void append_printable(buf *out, view text)
{
    char *to = buf_extend(out, text.len);
    for (size_t i = 0; i < text.len; i++) to[i] = text.at[i] >= 32 && text.at[i] < 127 ? text.at[i] : '?';
}

static void append_line(buf *out, const struct smtp_status *status, bool is_last, view text)
{
    char prefix[24];
    int len = snprintf(prefix, sizeof prefix, "%u%c", status->code, is_last ? ' ' : '-');
    if (status->subject != SMTP_NO_ENHANCED_CODE)
        len = snprintf(prefix, sizeof prefix, "%u%c%u.%u.%u ", status->code, is_last ? ' ' : '-', status->code / 100u,
                       status->subject, status->detail);
    buf_append(out, view_make(prefix, (size_t)len));
    append_printable(out, text);
    buf_append(out, VIEW("\r\n"));
}

void smtp_reply_append(buf *out, enum smtp_status_name name, view text)
{
    enum { TEXT_MAX = SMTP_REPLY_LINE_MAX - 24 };
    const struct smtp_status *status = smtp_status(name);
    if (text.len == 0) text = view_of(status->text);
    do {
        size_t len = view_find(view_slice(text, 0, TEXT_MAX + 1), '\n');
        bool is_cut = len == VIEW_NONE && text.len > TEXT_MAX;
        if (len == VIEW_NONE) len = is_cut ? TEXT_MAX : text.len;
        view line = view_slice(text, 0, len);
        text = view_from(text, is_cut ? len : len + 1);
        append_line(out, status, text.len == 0, line);
    } while (text.len > 0);
}

void smtp_reply_appendf(buf *out, enum smtp_status_name name, const char *format, ...)
{
    char text[SMTP_REPLY_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (len < 0) len = 0;
    smtp_reply_append(out, name, view_slice(view_of(text), 0, (size_t)len));
}

enum smtp_status_name smtp_status_of_result(result code)
{
    static const enum smtp_status_name of_result[] = {
        [OK] = SMTP_DONE,
        [END] = SMTP_LOCAL_ERROR,
        [NOT_FOUND] = SMTP_NO_SUCH_USER,
        [EXISTS] = SMTP_LOCAL_ERROR,
        [INVALID] = SMTP_BAD_SYNTAX,
        [TOO_BIG] = SMTP_MESSAGE_TOO_BIG,
        [OVER_QUOTA] = SMTP_MAILBOX_FULL_NOW,
        [DENIED] = SMTP_NOT_PERMITTED,
        [BUSY] = SMTP_CONGESTED,
        [CONFLICT] = SMTP_LOCAL_ERROR,
        [TIMEOUT] = SMTP_STORE_UNAVAILABLE,
        [CANCELLED] = SMTP_SHUTTING_DOWN,
        [UNAVAILABLE] = SMTP_STORE_UNAVAILABLE,
        [UNKNOWN_OUTCOME] = SMTP_STORE_UNAVAILABLE,
        [CORRUPT] = SMTP_LOCAL_ERROR,
        [IO] = SMTP_LOCAL_ERROR,
    };
    return (size_t)code < array_size(of_result) ? of_result[code] : SMTP_LOCAL_ERROR;
}
