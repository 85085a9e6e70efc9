#include "formats/envelope.h"

#include "formats/header.h"

static void set_text(view *text, bool *is_set, view value, struct arena *arena)
{
    if (*is_set) return;
    *text = header_unfold(value, arena);
    *is_set = true;
}

static void set_addresses(struct mail_address **list, bool *is_set, view value, struct arena *arena)
{
    if (*is_set) return;
    *list = mail_address_list_parse(value, arena);
    *is_set = true;
}

void message_envelope_parse(view header, struct arena *arena, struct message_envelope *ret_envelope)
{
    struct message_envelope e = {0};
    bool has_references = false, has_from = false, has_sender = false, has_reply_to = false, has_to = false, has_cc = false, has_bcc = false;
    const struct { view name; view *text; struct mail_address **list; bool *is_set; } fields[] = {
        {VIEW("Date"), &e.date, NULL, &e.has_date},
        {VIEW("Subject"), &e.subject, NULL, &e.has_subject},
        {VIEW("In-Reply-To"), &e.in_reply_to, NULL, &e.has_in_reply_to},
        {VIEW("Message-ID"), &e.message_id, NULL, &e.has_message_id},
        {VIEW("References"), &e.references, NULL, &has_references},
        {VIEW("From"), NULL, &e.from, &has_from},
        {VIEW("Sender"), NULL, &e.sender, &has_sender},
        {VIEW("Reply-To"), NULL, &e.reply_to, &has_reply_to},
        {VIEW("To"), NULL, &e.to, &has_to},
        {VIEW("Cc"), NULL, &e.cc, &has_cc},
        {VIEW("Bcc"), NULL, &e.bcc, &has_bcc},
    };
    struct header_field field;
    while (header_next(&header, &field)) {
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            if (!view_equal_nocase(field.name, fields[i].name)) continue;
            if (fields[i].text) set_text(fields[i].text, fields[i].is_set, field.value, arena);
            else set_addresses(fields[i].list, fields[i].is_set, field.value, arena);
            break;
        }
    }
    *ret_envelope = e;
}
