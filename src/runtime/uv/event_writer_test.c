/* The log's rings and writer with real threads. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/test.h"
#include "runtime/event_face.h"
#include "runtime/event_hook.h"

enum { THREADS = 4, LINES = 20000 };

static void *emit_lines(void *argument)
{
    int thread = *(int *)argument;
    for (int i = 0; i < LINES; i++) {
        EVENT_EMIT(SERVICE_STARTED, EVENT_NUMBER("thread", thread), EVENT_NUMBER("line", i));
        if (i % 500 == 499) usleep(2000);
    }
    return NULL;
}

static void read_file(const char *path, buf *into)
{
    FILE *file = fopen(path, "r");
    REQUIRE(file != NULL);
    char piece[1024];
    for (size_t n; (n = fread(piece, 1, sizeof piece, file)) > 0;) buf_append(into, view_make(piece, n));
    fclose(file);
}

static char folder[] = "/tmp/tayori-log-XXXXXX";

static char *path_in(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

TEST(event_writer_keeps_every_line_whole_and_each_threads_order)
{
    pthread_t threads[THREADS];
    int numbers[THREADS], next[THREADS] = {0};
    CLEANUP(buf_done) buf text = BUF_INIT;
    REQUIRE(mkdtemp(folder) != NULL);
    char *path = path_in("log");
    REQUIRE(event_open(path, EVENT_FORMAT_TEXT, EVENT_INFO, NULL) == OK);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        REQUIRE(pthread_create(&threads[i], NULL, emit_lines, &numbers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    event_close();
    read_file(path, &text);
    view rest = buf_view(&text), line;
    int seen = 0;
    while (view_cut(&rest, '\n', &line)) {
        int thread, number;
        char copy[200];
        REQUIRE(line.len > 25 && line.len < sizeof copy);
        snprintf(copy, sizeof copy, VIEW_FMT, VIEW_ARG(line));
        if (strstr(copy, "log_lines_dropped")) continue;
        REQUIRE(sscanf(copy + 25, "notice service_started thread=%d line=%d", &thread, &number) == 2);
        REQUIRE(thread >= 0 && thread < THREADS && number >= next[thread]);
        next[thread] = number + 1;
        seen++;
    }
    EXPECT_NUMBER(seen + metric_value(METRIC_LOG_LINES_DROPPED), THREADS * LINES);
    EXPECT_NUMBER(event_times(EVENT_SERVICE_STARTED), THREADS * LINES);
    unlink(path);
    rmdir(folder);
}

TEST(event_writer_drops_and_counts_when_the_log_takes_nothing)
{
    int pipe_ends[2];
    REQUIRE(pipe2(pipe_ends, O_NONBLOCK) == 0);
    REQUIRE(dup2(pipe_ends[1], STDERR_FILENO) == STDERR_FILENO);
    REQUIRE(event_open(NULL, EVENT_FORMAT_JSON, EVENT_DEBUG, NULL) == OK);
    for (int i = 0; i < LINES; i++) EVENT_EMIT(SERVICE_STARTED, EVENT_NUMBER("line", i));
    EXPECT(metric_value(METRIC_LOG_LINES_DROPPED) > 0);
    event_close();
}

TEST(event_writer_goes_over_to_a_new_file)
{
    CLEANUP(buf_done) buf first = BUF_INIT;
    CLEANUP(buf_done) buf second = BUF_INIT;
    REQUIRE(mkdtemp(folder) != NULL);
    REQUIRE(event_open(path_in("log"), EVENT_FORMAT_TEXT, EVENT_NOTICE, NULL) == OK);
    EVENT_EMIT(SERVICE_STARTED, EVENT_NUMBER("n", 1));
    usleep(50000);
    REQUIRE(rename(path_in("log"), "/tmp/tayori-log-moved") == 0);
    REQUIRE(event_open(path_in("log"), EVENT_FORMAT_TEXT, EVENT_NOTICE, NULL) == OK);
    EVENT_EMIT(SERVICE_STOPPED, EVENT_NUMBER("n", 2));
    event_close();
    read_file("/tmp/tayori-log-moved", &first);
    read_file(path_in("log"), &second);
    EXPECT(view_ends(buf_view(&first), VIEW("notice service_started n=1\n")));
    EXPECT(view_ends(buf_view(&second), VIEW("notice service_stopped n=2\n")));
    unlink("/tmp/tayori-log-moved");
    unlink(path_in("log"));
    rmdir(folder);
}

TEST(event_writer_leaves_out_lines_below_the_level)
{
    CLEANUP(buf_done) buf text = BUF_INIT;
    REQUIRE(mkdtemp(folder) != NULL);
    char *path = path_in("log");
    REQUIRE(event_open(path, EVENT_FORMAT_TEXT, EVENT_WARNING, NULL) == OK);
    EVENT_EMIT(SERVICE_STARTED, EVENT_NUMBER("n", 1));
    event_close();
    read_file(path, &text);
    EXPECT_NUMBER(text.len, 0);
    EXPECT_NUMBER(event_times(EVENT_SERVICE_STARTED), 1);
    unlink(path);
    rmdir(folder);
}
