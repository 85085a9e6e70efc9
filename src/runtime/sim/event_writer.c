/*
 * Events in the simulator: one thread, so a line is written at once. Nothing is written, and nothing formatted,
 * before event_open(): most tests use event_hook() instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "runtime/event_face.h"

static struct {
    int fd;
    bool is_open;
    enum event_format format;
    enum event_level least;
    char line[EVENT_LINE_MAX];
} writer;

static void close_file(void)
{
    if (writer.is_open && writer.fd != STDERR_FILENO) close(writer.fd);
    writer.is_open = false;
}

result event_open(const char *file, enum event_format format, enum event_level least, struct fault *fault)
{
    int fd = file ? open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640) : STDERR_FILENO;
    if (fd < 0) return fail(fault, IO, "log file %s: %s", file, strerror(errno));
    close_file();
    writer.fd = fd;
    writer.is_open = true;
    writer.format = format;
    writer.least = least;
    return OK;
}

void event_close(void) { close_file(); }

char *event_face_begin(enum event_level level, enum event_format *ret_format)
{
    if (!writer.is_open || level < writer.least) return NULL;
    *ret_format = writer.format;
    return writer.line;
}

void event_face_end(size_t line_bytes)
{
    ssize_t written = write(writer.fd, writer.line, line_bytes);
    (void)written;
}
