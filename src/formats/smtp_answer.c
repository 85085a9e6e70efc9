#include "formats/smtp_answer.h"

#include <string.h>

#include "base/cursor.h"

void smtp_answer_init(struct smtp_answer *a) { *a = (struct smtp_answer){.text = BUF_INIT}; }
void smtp_answer_done(struct smtp_answer *a) { buf_done(&a->text); }

void smtp_answer_clear(struct smtp_answer *a)
{
    buf text = a->text;
    *a = (struct smtp_answer){.text = text};
    buf_clear(&a->text);
}

/* Reply-code = %x32-35 %x30-35 %x30-39; some servers say 2xx with a middle digit above 5, which harms nobody. */
static bool take_code(struct cursor *c, uint16_t *ret_code)
{
    view digits;
    if (!take_bytes(c, 3, &digits)) return false;
    for (size_t i = 0; i < 3; i++)
        if (!ascii_is_digit(digits.at[i])) return false;
    if (digits.at[0] < '2' || digits.at[0] > '5') return false;
    *ret_code = (uint16_t)((digits.at[0] - '0') * 100 + (digits.at[1] - '0') * 10 + (digits.at[2] - '0'));
    return true;
}

/* status-code = class "." subject "." detail, RFC 3463 §2. */
static bool take_enhanced(struct cursor *c, unsigned class, uint16_t *ret_subject, uint16_t *ret_detail)
{
    struct cursor at = *c;
    uint64_t first, subject, detail;
    if (!take_number(&at, 5, &first) || !take_byte(&at, '.') || !take_number(&at, 999, &subject) || !take_byte(&at, '.') ||
        !take_number(&at, 999, &detail) || first != class)
        return false;
    if (!cursor_at_end(&at) && !take_byte(&at, ' ')) return false;
    *ret_subject = (uint16_t)subject;
    *ret_detail = (uint16_t)detail;
    *c = at;
    return true;
}

static void keep_text(struct smtp_answer *a, view text)
{
    if (a->lines > 1 && a->text.len < SMTP_ANSWER_TEXT_MAX) buf_append_byte(&a->text, '\n');
    text = view_slice(text, 0, SMTP_ANSWER_TEXT_MAX - (a->text.len < SMTP_ANSWER_TEXT_MAX ? a->text.len : SMTP_ANSWER_TEXT_MAX));
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        buf_append_byte(&a->text, byte < ' ' || byte == 127 ? '?' : (char)byte);
    }
}

bool smtp_answer_line(struct smtp_answer *a, view line)
{
    struct cursor c = cursor_of(line);
    uint16_t code, subject, detail;
    if (a->is_whole || a->lines == SMTP_ANSWER_LINES_MAX || !take_code(&c, &code) || (a->lines > 0 && code != a->code)) return false;
    bool goes_on = take_byte(&c, '-');
    if (!goes_on && !cursor_at_end(&c) && !take_byte(&c, ' ')) return false;
    a->code = code;
    a->lines++;
    a->is_whole = !goes_on;
    if (take_enhanced(&c, code / 100u, &subject, &detail)) {
        a->class = (uint8_t)(code / 100);
        a->subject = subject;
        a->detail = detail;
    }
    keep_text(a, c.rest);
    return true;
}

void smtp_answer_append(buf *out, const struct smtp_answer *a)
{
    buf_appendf(out, "%u", a->code);
    if (a->class) buf_appendf(out, " %u.%u.%u", a->class, a->subject, a->detail);
    if (a->text.len) buf_append_byte(out, ' ');
    size_t from = out->len;
    buf_append(out, buf_view(&a->text));
    for (size_t i = from; i < out->len; i++)
        if (out->at[i] == '\n') out->at[i] = ' ';
}

/* ---- EHLO ---- */

static void parse_size(view rest, struct smtp_offer *offer)
{
    uint64_t bytes;
    offer->size = true;
    if (view_to_u64(view_trim(rest), &bytes)) offer->size_bytes_max = bytes;
}

static void parse_extension(view line, struct smtp_offer *o)
{
    view word = VIEW_EMPTY;
    (void)view_cut(&line, ' ', &word);
    const struct { view keyword; bool *given; } known[] = {
        {VIEW("PIPELINING"), &o->pipelining}, {VIEW("8BITMIME"), &o->eight_bit}, {VIEW("SMTPUTF8"), &o->utf8}, {VIEW("CHUNKING"), &o->chunking},
        {VIEW("BINARYMIME"), &o->binary}, {VIEW("STARTTLS"), &o->starttls}, {VIEW("DSN"), &o->dsn}, {VIEW("ENHANCEDSTATUSCODES"), &o->enhanced},
        {VIEW("REQUIRETLS"), &o->requiretls}, {VIEW("DELIVERBY"), &o->deliver_by}, {VIEW("MT-PRIORITY"), &o->priority},
    };
    if (view_equal_nocase(word, VIEW("SIZE"))) parse_size(line, o);
    if (view_equal_nocase(word, VIEW("DELIVERBY")) && !view_to_u64(view_trim(line), &o->deliver_by_min_s)) o->deliver_by_min_s = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (view_equal_nocase(word, known[i].keyword)) *known[i].given = true;
}

void smtp_offer_parse(view text, struct smtp_offer *ret_offer)
{
    view line;
    bool is_first = true;
    *ret_offer = (struct smtp_offer){0};
    while (view_cut(&text, '\n', &line)) {
        if (!is_first) parse_extension(line, ret_offer);
        is_first = false;
    }
}
