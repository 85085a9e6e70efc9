/* The cases of testdata/japanese/made: what each mail must or should be read as. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "base/utf8.h"
#include "formats/charset.h"
#include "formats/encoded_word.h"
#include "formats/envelope.h"
#include "formats/header.h"
#include "formats/mime.h"
#include "formats/transfer.h"

static void read_file(const char *path, buf *into)
{
    FILE *file = fopen(path, "rb");
    if (!file) test_skip("a file of the shared test data is missing");
    size_t got;
    do {
        buf_reserve(into, 65536);
        got = fread(into->at + into->len, 1, 65536, file);
        into->len += got;
    } while (got);
    fclose(file);
}

static const struct mime_part *first_leaf(const struct mime_part *part)
{
    while (part->first) part = part->first;
    return part;
}

static view body_text(view message, const struct mime_part *part, struct arena *arena)
{
    buf bytes CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    transfer_decode(transfer_encoding_of(part->encoding), mime_range_of(message, part->body), &bytes);
    charset_append_utf8(mime_parameter(&part->parameters, VIEW("charset")), buf_view(&bytes), &text);
    EXPECT(utf8_is_valid(buf_view(&text)));
    return view_trim(arena_keep(arena, buf_view(&text)));
}

/* CRLF of the mail and LF of the JSON are the same line end. */
static view without_cr(view v, struct arena *arena)
{
    char *copy = arena_alloc(arena, v.len);
    size_t len = 0;
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] != '\r') copy[len++] = v.at[i];
    return view_make(copy, len);
}

static bool equals_json(view got, json_t *want, struct arena *arena)
{
    view text = view_make(json_string_value(want), json_string_length(want));
    return view_equal(without_cr(got, arena), text);
}

static void expect_value(const char *file, json_t *one, const char *key, view got, struct arena *arena)
{
    char any_key[64];
    snprintf(any_key, sizeof any_key, "%s_any", key);
    json_t *want = json_object_get(one, key), *any = json_object_get(one, any_key), *choice;
    size_t index;
    bool is_right = want ? equals_json(got, want, arena) : !any;
    json_array_foreach(any, index, choice) is_right |= equals_json(got, choice, arena);
    if (is_right) return;
    char *text = json_dumps(want ? want : any, JSON_ENCODE_ANY);
    test_fail(__FILE__, __LINE__, "%s: %s is \"" VIEW_FMT "\", not %s", file, key, VIEW_ARG(got), text);
    free(text);
}

static const struct mime_part *attachment(const struct mime_part *root)
{
    return root->first && root->first->next ? root->first->next : root;
}

static void check_case(const char *folder, json_t *one)
{
    const char *file = json_string_value(json_object_get(one, "file"));
    char path[1024];
    buf message CLEANUP(buf_done) = BUF_INIT;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 16 << 20);
    struct message_envelope e;
    snprintf(path, sizeof path, "%s/japanese/made/%s", folder, file);
    read_file(path, &message);
    const struct mime_part *root = mime_parse(buf_view(&message), arena);
    message_envelope_parse(buf_view(&message), arena, &e);
    expect_value(file, one, "subject_text", encoded_word_decode(e.subject, arena), arena);
    expect_value(file, one, "body_text", body_text(buf_view(&message), first_leaf(root), arena), arena);
    REQUIRE(e.from);
    expect_value(file, one, "from_name", encoded_word_decode(e.from->name, arena), arena);
    expect_value(file, one, "from_addr", arena_printf(arena, VIEW_FMT "@" VIEW_FMT, VIEW_ARG(e.from->local), VIEW_ARG(e.from->domain)), arena);
    view name = VIEW_EMPTY;
    if (json_object_get(one, "filename")) EXPECT(mime_filename(attachment(root), arena, &name));
    expect_value(file, one, "filename", name, arena);
}

TEST(japanese_mails_are_read_as_given)
{
    const char *folder = test_data_folder();
    if (!folder) test_skip("no shared test data");
    char path[1024];
    snprintf(path, sizeof path, "%s/japanese/made/cases.json", folder);
    json_t *cases = json_load_file(path, 0, NULL), *one;
    size_t index;
    if (!cases) test_skip("no japanese/made/cases.json");
    json_array_foreach(cases, index, one) check_case(folder, one);
    EXPECT(json_array_size(cases) >= 64);
    json_decref(cases);
}

TEST(japanese_codecs_of_python)
{
    static const struct { const char *file, *charset; } codecs[] = {
        {"euc_jp", "EUC-JP"}, {"iso2022_jp", "ISO-2022-JP"}, {"shift_jis", "Shift_JIS"}, {"shift_jisx0213", "SHIFT_JISX0213"}, {"euc_jisx0213", "EUC-JISX0213"},
    };
    const char *folder = test_data_folder();
    if (!folder) test_skip("no shared test data");
    for (size_t i = 0; i < array_size(codecs); i++) {
        char path[1024];
        buf in CLEANUP(buf_done) = BUF_INIT, want CLEANUP(buf_done) = BUF_INIT, got CLEANUP(buf_done) = BUF_INIT;
        snprintf(path, sizeof path, "%s/japanese/cpython-codecs/%s.txt", folder, codecs[i].file);
        read_file(path, &in);
        snprintf(path, sizeof path, "%s/japanese/cpython-codecs/%s-utf8.txt", folder, codecs[i].file);
        read_file(path, &want);
        charset_append_utf8(view_of(codecs[i].charset), buf_view(&in), &got);
        size_t at = 0;
        while (at < got.len && at < want.len && got.at[at] == want.at[at]) at++;
        if (at != got.len || at != want.len)
            test_fail(__FILE__, __LINE__, "%s differs at %zu: ..." VIEW_FMT "... not ..." VIEW_FMT "...", codecs[i].file, at,
                      VIEW_ARG(view_slice(buf_view(&got), at, 12)), VIEW_ARG(view_slice(buf_view(&want), at, 12)));
    }
}
