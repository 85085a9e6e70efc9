/*
 * The messages of testdata/mime/mail-parser/legacy against what mail-parser reads from them: structure, the
 * place of every body, subjects, and text where mail-parser could decode it (raw 8-bit text it does not guess).
 */
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "formats/charset.h"
#include "formats/encoded_word.h"
#include "formats/header.h"
#include "formats/mime.h"
#include "formats/transfer.h"

static const char replacement[] = "\xef\xbf\xbd";

struct reading {
    const char *name;
    view message;
    json_t *parts;               /* mail-parser's flat list */
    struct arena *arena;
};

/* Without white space: line ends and trailing blanks are told differently. */
static view squeezed(struct arena *arena, view v)
{
    char *copy = arena_alloc(arena, v.len);
    size_t len = 0;
    for (size_t i = 0; i < v.len; i++)
        if (!ascii_is_space(v.at[i])) copy[len++] = v.at[i];
    return view_make(copy, len);
}

static void expect_same_text(const struct reading *r, const char *what, view got, json_t *want)
{
    if (!json_is_string(want) || strstr(json_string_value(want), replacement)) return;
    view wanted = squeezed(r->arena, view_make(json_string_value(want), json_string_length(want)));
    if (!view_equal(squeezed(r->arena, got), wanted)) test_fail(__FILE__, __LINE__, "%s: %s differs", r->name, what);
}

static void check_text(const struct reading *r, const struct mime_part *part, json_t *body)
{
    buf bytes CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    json_t *want = json_object_get(body, "Text") ? json_object_get(body, "Text") : json_object_get(body, "Html");
    if (!want || !mime_is(part, "text", NULL)) return;
    transfer_decode(transfer_encoding_of(part->encoding), mime_range_of(r->message, part->body), &bytes);
    charset_append_utf8(mime_parameter(&part->parameters, VIEW("charset")), buf_view(&bytes), &text);
    expect_same_text(r, "text", buf_view(&text), want);
}

static void check_part(const struct reading *r, const struct mime_part *part, size_t index)
{
    json_t *theirs = json_array_get(r->parts, index), *body = json_object_get(theirs, "body"), *children = json_object_get(body, "Multipart"), *child;
    size_t i;
    if (json_is_array(children)) {
        const struct mime_part *mine = part->first;
        json_array_foreach(children, i, child) {
            if (!mine) break;
            check_part(r, mine, (size_t)json_integer_value(child));
            mine = mine->next;
        }
        if (mine || i < json_array_size(children)) test_fail(__FILE__, __LINE__, "%s: part %zu has another number of children", r->name, index);
        return;
    }
    if (part->first) test_fail(__FILE__, __LINE__, "%s: part %zu is no leaf", r->name, index);
    int64_t from = json_integer_value(json_object_get(theirs, "offset_body")), end = json_integer_value(json_object_get(theirs, "offset_end"));
    if ((int64_t)part->body.from != from || (int64_t)(part->body.from + part->body.len) != end)
        test_fail(__FILE__, __LINE__, "%s: part %zu is at %zu, %zu bytes", r->name, index, part->body.from, part->body.len);
    check_text(r, part, body);
}

static void check_subject(const struct reading *r)
{
    json_t *headers = json_object_get(json_array_get(r->parts, 0), "headers"), *field, *value;
    size_t i;
    json_array_foreach(headers, i, field) {
        const char *name = json_string_value(json_object_get(field, "name"));
        value = json_object_get(field, "value");
        if (!name || strcmp(name, "subject") != 0 || !json_is_object(value)) continue;
        expect_same_text(r, "subject", encoded_word_decode(header_value(r->message, VIEW("Subject"), r->arena), r->arena), json_object_get(value, "Text"));
    }
}

static bool read_whole(const char *path, buf *into)
{
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    size_t got;
    do {
        buf_reserve(into, 65536);
        got = fread(into->at + into->len, 1, 65536, file);
        into->len += got;
    } while (got);
    fclose(file);
    return true;
}

static bool check_message(const char *folder, const char *name)
{
    char path[1024];
    buf message CLEANUP(buf_done) = BUF_INIT;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 64 << 20);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    REQUIRE(read_whole(path, &message));
    bool has_crlf = view_find_view(buf_view(&message), VIEW("\r\n")) != VIEW_NONE;
    snprintf(path, sizeof path, "%s/%.*s%s.json", folder, (int)strlen(name) - 4, name, has_crlf ? ".crlf" : "");
    json_t *root = json_load_file(path, 0, NULL);
    if (!root) return false;
    struct reading r = {.name = name, .message = buf_view(&message), .parts = json_object_get(root, "parts"), .arena = arena};
    check_part(&r, mime_parse(r.message, arena), 0);
    check_subject(&r);
    json_decref(root);
    return true;
}

TEST_SLOW(mime_agrees_with_mail_parser, 60)
{
    char path[512];
    unsigned count = 0;
    const char *data = test_data_folder();
    if (!data) test_skip("no shared test data");
    snprintf(path, sizeof path, "%s/mime/mail-parser/legacy", data);
    DIR *folder = opendir(path);
    if (!folder) test_skip("no mime/mail-parser/legacy");
    for (struct dirent *entry; (entry = readdir(folder));) {
        size_t length = strlen(entry->d_name);
        if (length > 4 && strcmp(entry->d_name + length - 4, ".eml") == 0) count += check_message(path, entry->d_name);
    }
    closedir(folder);
    EXPECT(count >= 50);
}
