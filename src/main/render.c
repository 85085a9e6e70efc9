/*
 * render: answers as people and programs want them.
 *
 * Rows gather until ROWS_AT_ONCE are there, which settles the widths of the columns; a longer list goes on in those widths, so that
 * a million accounts do not stand in memory.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/utf8.h"
#include "formats/date.h"
#include "main/verb.h"

enum { COLUMNS_MAX = 20, ROWS_AT_ONCE = 1000, BAR_WIDTH = 30 };

struct column {
    char name[32];
    enum { AS_TEXT, AS_SIZE, AS_LIMIT, AS_DATE } kind;
    size_t width;
    bool is_used;
};

struct render {
    struct column columns[COLUMNS_MAX];
    size_t column_count;
    json_t *rows;
    bool wants_json, is_live, header_shown, progress_shown, shows_progress, failed, has_ended;
};

struct render *render_new(const char *columns, bool wants_json)
{
    struct render *r = calloc(1, sizeof *r);
    check(r != NULL);
    r->wants_json = wants_json;
    r->rows = json_array();
    r->shows_progress = isatty(STDERR_FILENO);
    view rest = view_of(columns), word;
    while (rest.len && view_cut(&rest, ' ', &word)) {
        struct column *c = &r->columns[r->column_count++];
        view name = word, kind = word;
        check(r->column_count <= COLUMNS_MAX && view_cut(&kind, ':', &name));
        c->kind = view_equal(kind, VIEW("size")) ? AS_SIZE : view_equal(kind, VIEW("limit")) ? AS_LIMIT : view_equal(kind, VIEW("date")) ? AS_DATE : AS_TEXT;
        snprintf(c->name, sizeof c->name, VIEW_FMT, VIEW_ARG(name));
    }
    return r;
}

void render_each_row(struct render *r) { r->is_live = true; }

static void append_size(buf *out, json_int_t bytes)
{
    static const char units[] = "BKMGT";
    double amount = (double)bytes;
    size_t unit = 0;
    for (; amount >= 1024 && unit < 4; unit++) amount /= 1024;
    if (unit == 0) buf_appendf(out, "%lld", (long long)bytes);
    else buf_appendf(out, "%.1f%c", amount, units[unit]);
}

/* Mail and other servers have a say in what is shown: what would move the cursor, change colours or turn the line round is a question mark. */
static void append_seemly(buf *out, const char *text)
{
    for (view rest = view_of(text); rest.len;) {
        view before = rest;
        uint32_t c;
        bool is_text = utf8_take(&rest, &c);
        if (!is_text) rest = view_from(rest, 1);
        bool is_unseemly = !is_text || c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
        if (is_unseemly) buf_append_byte(out, '?');
        else buf_append(out, view_slice(before, 0, before.len - rest.len));
    }
}

static void append_cell(buf *out, const struct column *c, const json_t *value)
{
    if (json_is_string(value)) {
        append_seemly(out, json_string_value(value));
    } else if (json_is_array(value)) {
        size_t index;
        json_t *item;
        json_array_foreach(value, index, item) {
            buf_append_cstr(out, index ? ", " : "");
            append_seemly(out, json_is_string(item) ? json_string_value(item) : "");
        }
    } else if (json_is_boolean(value)) {
        buf_append_cstr(out, json_is_true(value) ? "yes" : "no");
    } else if (json_is_integer(value)) {
        json_int_t number = json_integer_value(value);
        if (c->kind == AS_LIMIT && number == 0) buf_append_cstr(out, "none");
        else if (c->kind == AS_SIZE || c->kind == AS_LIMIT) append_size(out, number);
        else if (c->kind == AS_DATE) {
            struct civil t = civil_of((unix_ms){number}, 0);
            buf_appendf(out, "%04d-%02d-%02d %02d:%02d", t.year, t.month, t.day, t.hour, t.minute);
        } else buf_append_i64(out, number);
    }
}

/* Columns as characters are: UTF-8 lead bytes count, continuation bytes do not. */
static size_t text_width(view text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.len; i++) width += ((unsigned char)text.at[i] & 0xc0) != 0x80;
    return width;
}

static void measure(struct render *r)
{
    size_t index;
    json_t *row;
    json_array_foreach(r->rows, index, row) for (size_t c = 0; c < r->column_count; c++) {
        buf cell CLEANUP(buf_done) = BUF_INIT;
        json_t *value = json_object_get(row, r->columns[c].name);
        append_cell(&cell, &r->columns[c], value);
        size_t width = text_width(buf_view(&cell));
        if (value) r->columns[c].is_used = true;
        if (width > r->columns[c].width) r->columns[c].width = width;
    }
}

static void show_row(const struct render *r, const json_t *row)
{
    buf line CLEANUP(buf_done) = BUF_INIT;
    for (size_t c = 0; c < r->column_count; c++) {
        const struct column *column = &r->columns[c];
        if (!column->is_used) continue;
        buf cell CLEANUP(buf_done) = BUF_INIT;
        if (row) append_cell(&cell, column, json_object_get(row, column->name));
        else buf_append_cstr(&cell, column->name);
        size_t width = text_width(buf_view(&cell)), wanted = column->width > strlen(column->name) ? column->width : strlen(column->name);
        buf_append(&line, buf_view(&cell));
        for (; width < wanted + 2; width++) buf_append_byte(&line, ' ');
    }
    while (line.len && line.at[line.len - 1] == ' ') line.len--;
    printf(VIEW_FMT "\n", VIEW_ARG(buf_view(&line)));
}

/* One thing is read better as lines of name and value. */
static void show_single(const struct render *r, const json_t *row)
{
    for (size_t c = 0; c < r->column_count; c++) {
        buf cell CLEANUP(buf_done) = BUF_INIT;
        const json_t *value = json_object_get(row, r->columns[c].name);
        if (!value) continue;
        append_cell(&cell, &r->columns[c], value);
        printf("%-18s " VIEW_FMT "\n", r->columns[c].name, VIEW_ARG(buf_view(&cell)));
    }
}

static void clear_progress(struct render *r)
{
    if (r->progress_shown) fprintf(stderr, "\r\033[K");
    r->progress_shown = false;
}

static void flush_rows(struct render *r, bool is_last)
{
    size_t count = json_array_size(r->rows), index;
    json_t *row;
    clear_progress(r);
    if (is_last && !r->header_shown && count == 1 && r->column_count > 2) {
        show_single(r, json_array_get(r->rows, 0));
    } else if (count) {
        if (!r->header_shown) measure(r);
        if (!r->header_shown) show_row(r, NULL);
        r->header_shown = true;
        json_array_foreach(r->rows, index, row) show_row(r, row);
    }
    json_array_clear(r->rows);
}

static void show_progress(struct render *r, const json_t *progress)
{
    const char *what = json_string_value(json_object_get(progress, "what"));
    json_int_t done = json_integer_value(json_object_get(progress, "done")), all = json_integer_value(json_object_get(progress, "all"));
    if (!r->shows_progress || !what) return;
    if (all <= 0) {
        fprintf(stderr, "\r\033[K%lld %s", (long long)done, what);
    } else {
        int filled = (int)(done * BAR_WIDTH / all);
        if (filled > BAR_WIDTH) filled = BAR_WIDTH;
        fprintf(stderr, "\r\033[K[%.*s%*s] %3lld %%  %lld of %lld %s", filled, "##############################", BAR_WIDTH - filled, "",
                (long long)(done * 100 / all), (long long)done, (long long)all, what);
    }
    fflush(stderr);
    r->progress_shown = true;
}

void render_answer(struct render *r, const json_t *answer)
{
    json_t *row = json_object_get(answer, "row"), *progress = json_object_get(answer, "progress"), *error = json_object_get(answer, "error");
    if (progress) show_progress(r, progress);
    if (row && r->wants_json) {
        clear_progress(r);
        json_dumpf(row, stdout, JSON_COMPACT);
        putchar('\n');
        if (r->is_live) fflush(stdout);
    } else if (row) {
        json_array_append(r->rows, row);
        if (json_array_size(r->rows) >= ROWS_AT_ONCE || r->is_live) flush_rows(r, false);
        if (r->is_live) fflush(stdout);
    }
    if (error) {
        flush_rows(r, true);
        const char *text = json_string_value(json_object_get(error, "text"));
        fprintf(stderr, "tayori: %s\n", text ? text : "failed");
        if (r->wants_json) {
            json_dumpf(answer, stdout, JSON_COMPACT);
            putchar('\n');
        }
        r->failed = true;
    }
    if (json_object_get(answer, "done")) {
        flush_rows(r, true);
        r->has_ended = true;
    }
}

int render_end(struct render *r)
{
    int status = r->has_ended && !r->failed ? 0 : 1;
    clear_progress(r);
    json_decref(r->rows);
    free(r);
    return status;
}
