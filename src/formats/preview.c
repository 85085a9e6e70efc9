#include "formats/preview.h"

#include "base/check.h"
#include "base/utf8.h"
#include "formats/charset.h"
#include "formats/html_text.h"
#include "formats/mime.h"
#include "formats/transfer.h"

/* ---- which part ---- */

static bool is_attachment(const struct mime_part *part)
{
    return view_equal_nocase(part->disposition, VIEW("attachment"));
}

/* The first text in the order of the message; of alternatives the plain one. */
static const struct mime_part *find_text(const struct mime_part *part, unsigned depth)
{
    const struct mime_part *found = NULL;
    if (is_attachment(part) || depth > PREVIEW_DEPTH_MAX) return NULL;
    if (mime_is(part, "text", "plain") || mime_is(part, "text", "html")) return part->kind == MIME_LEAF ? part : NULL;
    bool is_choice = mime_is(part, "multipart", "alternative");
    for (const struct mime_part *child = part->first; child && part->kind == MIME_MULTIPART; child = child->next) {
        const struct mime_part *text = find_text(child, depth + 1);
        if (!found || (is_choice && text && mime_is(text, "text", "plain") && !mime_is(found, "text", "plain"))) found = text;
        if (found && !is_choice) break;
    }
    return found;
}

/* ---- writing ---- */

struct writer {
    buf *out;
    unsigned characters;
    bool wants_space;
};

static bool is_blank(uint32_t c)
{
    return c <= 0x20 || c == 0x7f || (c >= 0x80 && c <= 0xa0) || c == 0xad || c == 0x034f || (c >= 0x2000 && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202f) || c == 0x2060 || c == 0x3000 || c == 0xfeff;
}

static bool is_full(const struct writer *w) { return w->characters >= PREVIEW_CHARACTERS_MAX; }

static void put(struct writer *w, uint32_t c)
{
    if (is_full(w)) return;
    if (is_blank(c)) {
        w->wants_space = w->characters > 0;
        return;
    }
    if (w->wants_space && w->characters + 1 < PREVIEW_CHARACTERS_MAX) {
        buf_append_byte(w->out, ' ');
        w->characters++;
    }
    w->wants_space = false;
    utf8_append(w->out, c);
    w->characters++;
}

static void put_text(struct writer *w, view text)
{
    uint32_t c;
    while (!is_full(w) && utf8_take(&text, &c)) put(w, c);
}

/* ---- plain text ---- */

static void put_plain(struct writer *w, view text)
{
    view line, rest = text;
    while (rest.len && !is_full(w)) {
        if (!view_cut(&rest, '\n', &line)) {
            line = rest;
            rest = VIEW_EMPTY;
        }
        view bare = view_trim(line);
        if (view_equal(bare, VIEW("--")) && w->characters) break;
        if (view_starts(bare, VIEW(">"))) continue;
        put_text(w, line);
        put(w, ' ');
    }
    if (w->characters == 0) put_text(w, text);
}

/* ---- HTML ---- */

static bool put_shown(void *argument, uint32_t c)
{
    struct writer *w = argument;
    put(w, c);
    return !is_full(w);
}

void preview_append(const struct mime_part *root, view message, struct arena *arena, buf *into)
{
    buf decoded CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    const struct mime_part *part = find_text(root, 0);
    if (!part) return;
    view body = view_slice(mime_range_of(message, part->body), 0, PREVIEW_BODY_BYTES_MAX);
    enum transfer_encoding encoding = transfer_encoding_of(part->encoding);
    if (encoding == TRANSFER_BASE64 || encoding == TRANSFER_QUOTED_PRINTABLE) {
        (void)transfer_decode(encoding, body, &decoded);
        body = buf_view(&decoded);
    }
    (void)charset_append_utf8(mime_parameter(&part->parameters, VIEW("charset")), body, &text);
    struct writer w = {.out = into};
    if (mime_is(part, "text", "html")) {
        html_text_each(buf_view(&text), put_shown, &w);
    } else {
        put_plain(&w, buf_view(&text));
    }
}
