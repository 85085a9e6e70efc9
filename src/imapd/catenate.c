/* Parts of messages that are there, for APPEND CATENATE: RFC 4469 §3. \Seen is not set. */
#include "base/check.h"
#include "formats/header.h"
#include "formats/imap_name.h"
#include "formats/imap_url.h"
#include "formats/mime.h"
#include "imapd/append.h"

enum { PART_ARENA_BYTES_MAX = MIME_ARENA_BYTES_ENOUGH };

/* The row of the URL's message, and its mailbox. NOT_FOUND. */
MAY_YIELD static result find_row(struct session *s, const struct imap_url *url, uint32_t *ret_mailbox, struct row *ret_row, struct fault *fault)
{
    struct mailbox_info info;
    struct mailbox_view *in;
    struct mailbox *m = NULL;
    uint32_t first, last;
    size_t count = 0;
    view name;
    if (!url->has_mailbox) {
        m = s->view ? session_mailbox(s) : NULL;
    } else if (imap_name_from_wire(url->mailbox, true, s->arena, &name) == OK) {
        m = state_find(account_state(s->account), name);
    }
    if (!m) return NOT_FOUND;
    mailbox_read_info(m, s->arena, &info);
    if ((url->uid_validity && url->uid_validity != info.uid_validity) || mailbox_view_open(s->account, info.number, &in) != OK) return NOT_FOUND;
    result code = mailbox_view_range(in, url->uid, url->uid, &first, &last, session_store_deadline(s), fault);
    if (code == OK && first <= last) code = mailbox_view_rows(in, first, 1, ret_row, &count, session_store_deadline(s), fault);
    mailbox_view_close(in);
    *ret_mailbox = info.number;
    return code == OK && (count == 0 || row_is_gone(ret_row)) ? NOT_FOUND : code;
}

/* False: there is no such part, or it is none that is contiguous. */
static bool find_part(view whole, const struct imap_section *section, struct arena *arena, struct mime_range *ret_range)
{
    static const enum mime_what what[] = {[IMAP_SECTION_ALL] = MIME_WHOLE, [IMAP_SECTION_HEADER] = MIME_HEADER,
                                          [IMAP_SECTION_TEXT] = MIME_TEXT, [IMAP_SECTION_MIME] = MIME_MIME};
    view header, body;
    if (section->kind == IMAP_SECTION_HEADER_FIELDS || section->kind == IMAP_SECTION_HEADER_FIELDS_NOT) return false;
    if (section->part_count) {
        const struct mime_part *root = mime_parse(whole, arena);
        return root && mime_section(root, section->parts, section->part_count, what[section->kind], ret_range);
    }
    header_split(whole, &header, &body);
    *ret_range = section->kind == IMAP_SECTION_HEADER ? (struct mime_range){0, header.len}
                 : section->kind == IMAP_SECTION_TEXT ? (struct mime_range){header.len, body.len}
                                                      : (struct mime_range){0, whole.len};
    return true;
}

MAY_YIELD static result add_part(struct session *s, view whole, const struct imap_fetch_item *item, struct draft *draft, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, PART_ARENA_BYTES_MAX);
    struct mime_range range;
    if (!find_part(whole, &item->section, arena, &range)) return INVALID;
    view part = mime_range_of(whole, range);
    if (item->is_partial) part = view_slice(part, item->partial_from, item->partial_len);
    return draft_write(draft, part, session_store_deadline(s), fault);
}

result append_url(struct session *s, view text, struct draft *draft, struct fault *fault)
{
    struct imap_url url;
    struct row row;
    struct message *message;
    uint32_t mailbox;
    view whole;
    result code = imap_url_parse(text, s->arena, &url);
    if (code == OK) code = find_row(s, &url, &mailbox, &row, fault);
    if (code == OK) code = message_open(s->account, mailbox, &row, session_store_deadline(s), &message, fault);
    if (code != OK) return code;
    code = message_whole(message, session_store_deadline(s), &whole, fault);
    if (code == OK) code = add_part(s, whole, &url.item, draft, fault);
    message_close(message);
    return code;
}
