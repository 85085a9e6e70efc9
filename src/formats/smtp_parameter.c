/* The ESMTP parameters of MAIL and RCPT; see smtp_command.h. */
#include "formats/smtp_command.h"

#include "base/check.h"
#include "formats/date.h"

static bool is_space(unsigned char byte)
{
    return byte == ' ' || byte == '\t';
}

/* esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-") (RFC 5321 §4.1.2) */
static bool is_keyword_byte(unsigned char byte)
{
    return ascii_is_alpha((char)byte) || ascii_is_digit((char)byte) || byte == '-';
}

/* esmtp-value = 1*(%d33-60 / %d62-126); RFC 6531 §3.3 adds UTF-8, and '=' does no harm. */
static bool is_value_byte(unsigned char byte)
{
    return byte > 32 && byte != 127;
}

static int hex_value(char byte)
{
    if (ascii_is_digit(byte)) return byte - '0';
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

/* xtext = *( xchar / hexchar ), hexchar = "+" 2(DIGIT / A-F) (RFC 3461 §4). No control character comes of it. */
static bool decode_xtext(view xtext, struct arena *arena, view *ret_text)
{
    if (!view_has_byte(xtext, '+')) {
        *ret_text = xtext;
        return true;
    }
    char *text = arena_try_alloc(arena, xtext.len);
    size_t len = 0;
    if (!text) return false;
    for (size_t i = 0; i < xtext.len; i++) {
        int byte = (unsigned char)xtext.at[i];
        if (byte == '+') {
            int high = i + 2 < xtext.len ? hex_value(xtext.at[i + 1]) : -1;
            int low = i + 2 < xtext.len ? hex_value(xtext.at[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            byte = high * 16 + low;
            i += 2;
        }
        if (byte < 32 || byte == 127) return false;
        text[len++] = (char)byte;
    }
    *ret_text = view_make(text, len);
    return true;
}

/* size-value = 1*20DIGIT (RFC 1870 §4). */
static bool parse_size(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    if (value.len == 0 || value.len > 20) return false;
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_digit(value.at[i])) return false;
    if (!view_to_u64(value, &parameters->size_bytes)) parameters->size_bytes = UINT64_MAX;
    return true;
}

/* RFC 6152 §2, RFC 3030 §3. */
static bool parse_body(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    static const char *const names[] = {"7BIT", "8BITMIME", "BINARYMIME"};
    for (size_t i = 0; i < array_size(names); i++) {
        if (!view_equal_nocase(value, view_of(names[i]))) continue;
        parameters->body = (enum smtp_body)i;
        return true;
    }
    return false;
}

/* ret-value = "FULL" / "HDRS" (RFC 3461 §4.3) */
static bool parse_ret(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    bool is_full = view_equal_nocase(value, VIEW("FULL"));
    parameters->return_what = is_full ? SMTP_RETURN_FULL : SMTP_RETURN_HEADERS;
    return is_full || view_equal_nocase(value, VIEW("HDRS"));
}

static bool parse_envid(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    return value.len > 0 && value.len <= SMTP_ENVELOPE_ID_MAX && decode_xtext(value, arena, &parameters->envelope_id);
}

static bool parse_auth(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    if (value.len == 0 || value.len > SMTP_AUTH_PARAMETER_MAX) return false;
    return view_equal(value, VIEW("<>")) || decode_xtext(value, arena, &parameters->auth);
}

static bool parse_flag(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    return value.len == 0;
}

/* notify-value = "NEVER" / ( notify-list-element *( "," notify-list-element ) ) (RFC 3461 §4.1) */
static bool parse_notify(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    static const struct { const char *name; unsigned bit; } elements[] = {
        {"SUCCESS", SMTP_NOTIFY_SUCCESS}, {"FAILURE", SMTP_NOTIFY_FAILURE}, {"DELAY", SMTP_NOTIFY_DELAY}};
    if (view_equal_nocase(value, VIEW("NEVER"))) {
        parameters->notify = SMTP_NOTIFY_NEVER;
        return true;
    }
    if (value.len == 0 || view_ends(value, VIEW(","))) return false;
    for (view element; view_cut(&value, ',', &element);) {
        size_t i = 0;
        while (i < array_size(elements) && !view_equal_nocase(element, view_of(elements[i].name))) i++;
        if (i == array_size(elements)) return false;
        parameters->notify |= elements[i].bit;
    }
    return true;
}

/* original-recipient-address = addr-type ";" xtext (RFC 3461 §4.2); utf-8-address of RFC 6533 §3 stays as it is. */
static bool parse_orcpt(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    view type;
    if (value.len > SMTP_ORIGINAL_RECIPIENT_MAX || !view_has_byte(value, ';')) return false;
    if (!view_cut(&value, ';', &type) || type.len == 0 || value.len == 0) return false;
    for (size_t i = 0; i < type.len; i++)
        if (!is_keyword_byte((unsigned char)type.at[i])) return false;
    parameters->original_recipient_type = type;
    parameters->original_recipient = value;
    return view_equal_nocase(type, VIEW("utf-8")) || decode_xtext(value, arena, &parameters->original_recipient);
}

void smtp_xtext_append(buf *into, view text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        if (byte > 32 && byte < 127 && byte != '+' && byte != '=') buf_append_byte(into, (char)byte);
        else buf_appendf(into, "+%02X", byte);
    }
}

/* 1*9DIGIT */
static bool take_seconds(struct cursor *c, uint32_t *ret_seconds)
{
    uint64_t number;
    size_t before = c->rest.len;
    struct cursor at = *c;
    if (!take_number(&at, 999999999, &number) || before - at.rest.len > SMTP_INTERVAL_DIGITS_MAX) return false;
    *ret_seconds = (uint32_t)number;
    *c = at;
    return true;
}

/* future-release-integer = %x31-39 *8DIGIT (RFC 4865 §3) */
static bool parse_hold_for(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    struct cursor c = cursor_of(value);
    return cursor_peek(&c) != '0' && take_seconds(&c, &parameters->hold_seconds) && cursor_at_end(&c);
}

/* RFC 4865 §4: Internet-style-date-time of RFC 3339. */
static bool parse_hold_until(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    return date_rfc3339_parse(value, &parameters->hold_until);
}

/* by-value = by-time ";" by-mode [by-trace], by-time = ["-" / "+"] 1*9DIGIT (RFC 2852 §4); mode R needs a time above zero. */
static bool parse_by(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    struct cursor c = cursor_of(value);
    uint32_t seconds;
    bool is_negative = take_byte(&c, '-');
    if (!is_negative) (void)take_byte(&c, '+');
    if (!take_seconds(&c, &seconds) || !take_byte(&c, ';')) return false;
    if (take_view_nocase(&c, VIEW("R"))) parameters->by_mode = SMTP_BY_RETURN;
    else if (take_view_nocase(&c, VIEW("N"))) parameters->by_mode = SMTP_BY_NOTIFY;
    else return false;
    if (take_view_nocase(&c, VIEW("T"))) parameters->by_mode |= SMTP_BY_TRACE;
    parameters->by_seconds = is_negative ? -(int32_t)seconds : (int32_t)seconds;
    return cursor_at_end(&c) && (parameters->by_seconds > 0 || !(parameters->by_mode & SMTP_BY_RETURN));
}

/* priority-value = (["-"] NZDIGIT) / "0" (RFC 6710 §6) */
static bool parse_priority(view value, struct arena *arena, struct smtp_parameters *parameters)
{
    struct cursor c = cursor_of(value);
    uint64_t number;
    bool is_negative = take_byte(&c, '-');
    if (c.rest.len != 1 || !take_number(&c, SMTP_PRIORITY_MAX, &number) || (is_negative && number == 0)) return false;
    parameters->priority = is_negative ? -(int)number : (int)number;
    return true;
}

static const struct parameter {
    const char *name;
    enum smtp_verb verb;
    enum smtp_parameter_bit bit;
    bool has_value;
    bool (*parse)(view value, struct arena *arena, struct smtp_parameters *parameters);
} table[] = {
    {"SIZE", SMTP_VERB_MAIL, SMTP_HAS_SIZE, true, parse_size},
    {"BODY", SMTP_VERB_MAIL, SMTP_HAS_BODY, true, parse_body},
    {"SMTPUTF8", SMTP_VERB_MAIL, SMTP_HAS_SMTPUTF8, false, parse_flag},
    {"RET", SMTP_VERB_MAIL, SMTP_HAS_RET, true, parse_ret},
    {"ENVID", SMTP_VERB_MAIL, SMTP_HAS_ENVID, true, parse_envid},
    {"AUTH", SMTP_VERB_MAIL, SMTP_HAS_AUTH, true, parse_auth},
    {"REQUIRETLS", SMTP_VERB_MAIL, SMTP_HAS_REQUIRETLS, false, parse_flag},
    {"NOTIFY", SMTP_VERB_RCPT, SMTP_HAS_NOTIFY, true, parse_notify},
    {"ORCPT", SMTP_VERB_RCPT, SMTP_HAS_ORCPT, true, parse_orcpt},
    {"HOLDFOR", SMTP_VERB_MAIL, SMTP_HAS_HOLDFOR, true, parse_hold_for},
    {"HOLDUNTIL", SMTP_VERB_MAIL, SMTP_HAS_HOLDUNTIL, true, parse_hold_until},
    {"BY", SMTP_VERB_MAIL, SMTP_HAS_BY, true, parse_by},
    {"MT-PRIORITY", SMTP_VERB_MAIL, SMTP_HAS_PRIORITY, true, parse_priority},
};

static const struct parameter *find_parameter(view keyword, enum smtp_verb verb)
{
    for (size_t i = 0; i < array_size(table); i++)
        if (table[i].verb == verb && view_equal_nocase(keyword, view_of(table[i].name))) return &table[i];
    return NULL;
}

/* esmtp-param = esmtp-keyword ["=" esmtp-value]; each at most once. */
static bool take_parameter(struct cursor *c, enum smtp_verb verb, struct arena *arena, struct smtp_parameters *parameters,
                           enum smtp_status_name *status)
{
    view keyword, value = VIEW_EMPTY;
    *status = SMTP_BAD_PARAMETER;
    if (!take_while1(c, is_keyword_byte, &keyword)) return false;
    bool has_value = take_byte(c, '=');
    if (has_value) value = take_while(c, is_value_byte);
    const struct parameter *parameter = find_parameter(keyword, verb);
    if (!parameter) {
        *status = SMTP_UNKNOWN_PARAMETER;
        return false;
    }
    if (has_value != parameter->has_value || (parameters->given & (unsigned)parameter->bit)) return false;
    parameters->given |= (unsigned)parameter->bit;
    return parameter->parse(value, arena, parameters);
}

bool take_smtp_parameters(struct cursor *c, enum smtp_verb verb, struct arena *arena, struct smtp_parameters *parameters,
                          enum smtp_status_name *reterr_status)
{
    for (unsigned count = 0; !cursor_at_end(c); count++) {
        /* What follows the path without a space belonged to the path: that status stays. */
        if (take_while(c, is_space).len == 0) {
            if (count > 0) *reterr_status = SMTP_BAD_PARAMETER;
            return false;
        }
        if (count == SMTP_PARAMETERS_MAX) {
            *reterr_status = SMTP_BAD_PARAMETER;
            return false;
        }
        if (!take_parameter(c, verb, arena, parameters, reterr_status)) return false;
    }
    return true;
}
