#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/test.h"
#include "runtime/event_face.h"
#include "runtime/event_hook.h"

static const unix_ms noon = {1767268800123};       /* 2026-01-01T12:00:00.123Z */

static view written(char line[static EVENT_LINE_MAX], enum event_format format, struct event_field field)
{
    size_t len = event_line_write(line, format, noon, EVENT_SERVICE_STARTED, &field, 1);
    return view_make(line, len);
}

TEST(event_line_in_text_and_json)
{
    static char line[EVENT_LINE_MAX];
    struct event_field fields[] = {EVENT_TEXT("version", VIEW("0.1.0")), EVENT_NUMBER("bytes", -5), EVENT_TEXT("from", VIEW("a b"))};
    size_t len = event_line_write(line, EVENT_FORMAT_TEXT, noon, EVENT_SERVICE_STARTED, fields, 3);
    EXPECT_VIEW(view_make(line, len), VIEW("2026-01-01T12:00:00.123Z notice service_started version=0.1.0 bytes=-5 from=\"a b\"\n"));
    len = event_line_write(line, EVENT_FORMAT_JSON, noon, EVENT_SERVICE_STARTED, fields, 3);
    EXPECT_VIEW(view_make(line, len), VIEW("{\"time\":\"2026-01-01T12:00:00.123Z\",\"level\":\"notice\",\"event\":\"service_started\","
                                           "\"version\":\"0.1.0\",\"bytes\":-5,\"from\":\"a b\"}\n"));
}

TEST(event_line_cannot_be_forged_by_a_value)
{
    static char line[EVENT_LINE_MAX];
    static const struct { view value, text, json; } cases[] = {
        {VIEW_INIT("a\r\n2026 error x"), VIEW_INIT("\"a\\r\\n2026 error x\""), VIEW_INIT("\"a\\r\\n2026 error x\"")},
        {VIEW_INIT("x\" y=\"z"), VIEW_INIT("\"x\\\" y=\\\"z\""), VIEW_INIT("\"x\\\" y=\\\"z\"")},
        {VIEW_INIT("a=b"), VIEW_INIT("\"a=b\""), VIEW_INIT("\"a=b\"")},
        {VIEW_INIT("\\"), VIEW_INIT("\"\\\\\""), VIEW_INIT("\"\\\\\"")},
        {VIEW_INIT(""), VIEW_INIT("\"\""), VIEW_INIT("\"\"")},
        {VIEW_INIT("a\0b"), VIEW_INIT("\"a\\u0000b\""), VIEW_INIT("\"a\\u0000b\"")},
        {VIEW_INIT("\x1b[2J"), VIEW_INIT("\"\\u001b[2J\""), VIEW_INIT("\"\\u001b[2J\"")},
        {VIEW_INIT("\xe2\x80\xa8\xe2\x80\xae"), VIEW_INIT("\"\\u2028\\u202e\""), VIEW_INIT("\"\\u2028\\u202e\"")},
        {VIEW_INIT("\xc2\x85"), VIEW_INIT("\"\\u0085\""), VIEW_INIT("\"\\u0085\"")},
        {VIEW_INIT("\xe4\xbe\xbf\xff"), VIEW_INIT("\"\xe4\xbe\xbf\\xff\""), VIEW_INIT("\"\xe4\xbe\xbf\xef\xbf\xbd\"")},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        char want[200];
        snprintf(want, sizeof want, " from=" VIEW_FMT "\n", VIEW_ARG(cases[i].text));
        view text = written(line, EVENT_FORMAT_TEXT, EVENT_TEXT("from", cases[i].value));
        EXPECT_VIEW(view_from(text, text.len - strlen(want)), view_of(want));
        EXPECT_NUMBER(view_find(text, '\n'), text.len - 1);
        snprintf(want, sizeof want, ",\"from\":" VIEW_FMT "}\n", VIEW_ARG(cases[i].json));
        view json = written(line, EVENT_FORMAT_JSON, EVENT_TEXT("from", cases[i].value));
        EXPECT_VIEW(view_from(json, json.len - strlen(want)), view_of(want));
    }
}

TEST(event_line_is_bounded_whatever_the_fields)
{
    static char line[EVENT_LINE_MAX], big[8192];
    memset(big, 1, sizeof big);
    view many = view_make(big, sizeof big);
    struct event_field fields[] = {EVENT_TEXT("a", many), EVENT_TEXT("b", many), EVENT_NUMBER("n", 7)};
    for (int format = EVENT_FORMAT_TEXT; format <= EVENT_FORMAT_JSON; format++) {
        size_t len = event_line_write(line, (enum event_format)format, noon, EVENT_SERVICE_STARTED, fields, 3);
        view v = view_make(line, len);
        EXPECT(len <= EVENT_LINE_MAX);
        EXPECT(view_ends(v, format == EVENT_FORMAT_JSON ? VIEW(",\"n\":7,\"cut\":1}\n") : VIEW(" n=7 cut=1\n")));
    }
}

TEST(event_line_cuts_a_long_value_between_characters)
{
    static char line[EVENT_LINE_MAX], value[EVENT_VALUE_MAX + 8];
    for (size_t i = 0; i + 3 <= sizeof value; i += 3) memcpy(value + i, "\xe4\xbe\xbf", 3);
    view v = written(line, EVENT_FORMAT_JSON, EVENT_TEXT("x", view_make(value, EVENT_VALUE_MAX + 4)));
    EXPECT(view_ends(v, VIEW("\xe4\xbe\xbf\"}\n")));
}

struct seen { int times; enum event e; int64_t number; };

static void see(void *context, enum event e, const struct event_field *fields, size_t count)
{
    struct seen *seen = context;
    seen->times++;
    seen->e = e;
    seen->number = count ? fields[0].number : -1;
}

TEST(event_hook_sees_what_is_emitted)
{
    struct seen seen = {0};
    event_hook(see, &seen);
    EVENT_EMIT(SERVICE_STOPPING, EVENT_NUMBER("sessions", 3));
    event_hook(NULL, NULL);
    EVENT_EMIT(SERVICE_STOPPED, EVENT_NUMBER("sessions", 0));
    EXPECT_NUMBER(seen.times, 1);
    EXPECT_NUMBER(seen.e, EVENT_SERVICE_STOPPING);
    EXPECT_NUMBER(seen.number, 3);
    EXPECT_NUMBER(event_times(EVENT_SERVICE_STOPPING), 1);
    EXPECT_NUMBER(event_times(EVENT_SERVICE_STOPPED), 1);
}

static bool has_line(const buf *b, const char *line)
{
    view rest = buf_view(b), one;
    while (view_cut(&rest, '\n', &one))
        if (view_equal(one, view_of(line))) return true;
    return false;
}

TEST(event_metrics_are_prometheus_text)
{
    CLEANUP(buf_done) buf text = BUF_INIT;
    metric_add(METRIC_CONNECTIONS, 5);
    metric_add(METRIC_CONNECTIONS, -2);
    EVENT_EMIT(SERVICE_STARTED, EVENT_NUMBER("x", 1));
    metric_observe_us(METRIC_LOOP_TURN, 0);
    metric_observe_us(METRIC_LOOP_TURN, 16);
    metric_observe_us(METRIC_LOOP_TURN, 17);
    metric_observe_us(METRIC_LOOP_TURN, 33);
    metric_observe_us(METRIC_LOOP_TURN, INT64_C(100000000));
    event_metrics(&text);
    EXPECT(has_line(&text, "# TYPE tayori_connections gauge"));
    EXPECT(has_line(&text, "tayori_connections 3"));
    EXPECT(has_line(&text, "# TYPE tayori_events_total counter"));
    EXPECT(has_line(&text, "tayori_events_total{event=\"service_started\"} 1"));
    EXPECT(has_line(&text, "tayori_events_total{event=\"service_stopped\"} 0"));
    EXPECT(has_line(&text, "# TYPE tayori_loop_turn_seconds histogram"));
    EXPECT(has_line(&text, "tayori_loop_turn_seconds_bucket{le=\"0.000016\"} 2"));
    EXPECT(has_line(&text, "tayori_loop_turn_seconds_bucket{le=\"0.000032\"} 3"));
    EXPECT(has_line(&text, "tayori_loop_turn_seconds_bucket{le=\"67.108864\"} 4"));
    EXPECT(has_line(&text, "tayori_loop_turn_seconds_bucket{le=\"+Inf\"} 5"));
    EXPECT(has_line(&text, "tayori_loop_turn_seconds_sum 100.000066"));
    EXPECT(has_line(&text, "tayori_loop_turn_seconds_count 5"));
}

/* TAYORI_WRITE_DOCS=1 build-check/unit-uv events_page writes it anew. */
TEST(events_page_is_current)
{
    CLEANUP(buf_done) buf want = BUF_INIT;
    CLEANUP(buf_done) buf got = BUF_INIT;
    event_catalogue(&want);
    FILE *file = fopen("doc/events.md", getenv("TAYORI_WRITE_DOCS") ? "w+" : "r");
    REQUIRE(file != NULL);
    if (getenv("TAYORI_WRITE_DOCS")) fwrite(want.at, 1, want.len, file);
    rewind(file);
    for (int c; (c = fgetc(file)) != EOF;) buf_append_byte(&got, (char)c);
    fclose(file);
    bool is_current = view_equal(buf_view(&got), buf_view(&want));
    if (!is_current) printf("# doc/events.md is old: run TAYORI_WRITE_DOCS=1 build-check/unit-uv events_page\n");
    EXPECT(is_current);
}

TEST(event_open_names_the_file_it_cannot_write)
{
    struct fault fault = {0};
    EXPECT_NUMBER(event_open("/nonexistent/log", EVENT_FORMAT_TEXT, EVENT_INFO, &fault), IO);
    EXPECT(strstr(fault.detail, "/nonexistent/log"));
}
