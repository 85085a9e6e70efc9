/*
 * A base subject has none of what was taken away, is itself its base, and lies within bounds; a text collates as its pieces do; each value
 * is the same whatever else is wanted.
 */
#include "base/check.h"
#include "formats/collate.h"
#include "formats/encoded_word.h"
#include "formats/envelope.h"
#include "formats/sort_values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads each value alone and puts them together. */
static struct sort_values read_one_by_one(view header, struct arena *arena)
{
    struct sort_values all = {0}, v;
    sort_values_read(header, SORT_NEEDS_THREAD, arena, &all);
    check(!all.has_date && all.subject.len == 0 && all.from.len == 0);
    sort_values_read(header, SORT_NEEDS_DATE, arena, &v);
    check(v.message_id == 0 && v.reference_count == 0 && v.subject.len == 0);
    all.has_date = v.has_date;
    all.sent = v.sent;
    const struct { unsigned need; view *from, *into; } texts[] = {
        {SORT_NEEDS_SUBJECT, &v.subject, &all.subject}, {SORT_NEEDS_FROM, &v.from, &all.from}, {SORT_NEEDS_TO, &v.to, &all.to}, {SORT_NEEDS_CC, &v.cc, &all.cc},
        {SORT_NEEDS_DISPLAY_FROM, &v.display_from, &all.display_from}, {SORT_NEEDS_DISPLAY_TO, &v.display_to, &all.display_to},
    };
    for (size_t i = 0; i < array_size(texts); i++) {
        sort_values_read(header, texts[i].need, arena, &v);
        *texts[i].into = *texts[i].from;
    }
    return all;
}

static bool are_equal(const struct sort_values *a, const struct sort_values *b)
{
    bool numbers = a->has_date == b->has_date && a->sent.ms == b->sent.ms && a->subject_hash == b->subject_hash && a->is_reply == b->is_reply &&
                   a->message_id == b->message_id && a->reference_count == b->reference_count;
    for (size_t i = 0; numbers && i < a->reference_count; i++) numbers = a->references[i] == b->references[i];
    return numbers && view_equal(a->subject, b->subject) && view_equal(a->from, b->from) && view_equal(a->to, b->to) && view_equal(a->cc, b->cc) &&
           view_equal(a->display_from, b->display_from) && view_equal(a->display_to, b->display_to);
}

/* The decoder of words and the envelope say the same. */
static void check_against_envelope(view header, struct arena *arena, const struct sort_values *v)
{
    struct message_envelope e;
    struct date date;
    bool is_reply;
    buf text CLEANUP(buf_done) = BUF_INIT;
    message_envelope_parse(header, arena, &e);
    bool has_date = date_parse(e.date, &date);
    check(v->has_date == has_date && (!has_date || v->sent.ms == date.at.ms));
    view subject = sort_base_subject(encoded_word_decode(e.subject, arena), arena, &is_reply);
    collate_append(&text, view_slice(subject, 0, SORT_TEXT_BYTES_MAX));
    check(view_equal(v->subject, buf_view(&text)) && v->is_reply == is_reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536) return 0;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 64 << 20);
    buf once CLEANUP(buf_done) = BUF_INIT, twice CLEANUP(buf_done) = BUF_INIT;
    struct sort_values values;
    bool is_reply, is_reply_again;
    view input = view_make(data, size), base = sort_base_subject(input, arena, &is_reply);
    view again = sort_base_subject(base, arena, &is_reply_again);
    check(base.len <= size && view_equal(again, base) && !is_reply_again);
    collate_append(&once, base);
    size_t ascii = 0;
    while (ascii < base.len && (unsigned char)base.at[ascii] < 0x80) ascii++;
    collate_append(&twice, view_slice(base, 0, ascii));
    collate_append(&twice, view_from(base, ascii));
    check(view_equal(buf_view(&once), buf_view(&twice)) && once.len <= 12 * base.len);
    sort_values_read(input, SORT_NEEDS_ALL, arena, &values);
    check(values.reference_count <= SORT_REFERENCES_MAX && values.message_id >> SORT_HASH_BITS == 0 && values.subject_hash >> SORT_HASH_BITS == 0);
    struct sort_values again_values = read_one_by_one(input, arena);
    check(are_equal(&values, &again_values));
    check_against_envelope(input, arena, &values);
    return 0;
}
