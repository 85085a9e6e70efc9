/*
 * man: manual pages (mdoc) from the tables of verbs and of configuration keys, so that they cannot say anything else than --help.
 */
#include <string.h>
#include <unistd.h>

#include "main/config.h"
#include "main/verb.h"

/* mdoc wants each sentence on a line of its own. */
static void show_text(const char *text)
{
    for (const char *end; (end = strstr(text, ". ")); text = end + 2) printf("%.*s\n", (int)(end - text + 1), text);
    printf("%s", text);
}

static void show_title(const char *name, const char *section, const char *help)
{
    /* mdoc wants a date; the pages change with the program, so they carry its release's. */
    printf(".Dd November 22, 2026\n.Dt %s %s\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n", name, section, name, help);
}

static void show_arguments(const struct verb *v)
{
    if (!v->arguments[0].name) return;
    printf(".Bl -tag -width Ds\n");
    for (const struct verb_argument *a = v->arguments; a->name; a++) {
        if (a->name[0] == '-') printf(".It Fl %s%s%s\n", a->name + 1, a->value ? " Ar " : "", a->value ? a->value : "");
        else printf(".It Ar %s\n", a->name);
        show_text(a->help);
        printf(".\n");
    }
    printf(".El\n");
}

static void show_synopsis(const struct verb *v)
{
    printf(".Nm tayori %s%s%s\n", v->noun, v->verb ? " " : "", v->verb ? v->verb : "");
    for (const struct verb_argument *a = v->arguments; a->name; a++) {
        bool is_option = a->name[0] == '-';
        if (is_option) printf(".%sFl %s%s%s\n", a->is_required ? "" : "Op ", a->name + 1, a->value ? " Ar " : "", a->value ? a->value : "");
        else printf(".Ar %s%s\n", a->name, a->is_many ? " ..." : "");
    }
}

static int show_noun(const char *noun)
{
    const struct verb *first = NULL;
    for (size_t i = 0; i < verb_count; i++) {
        if (strcmp(verbs[i].noun, noun) != 0) continue;
        if (!first) {
            char name[64], help[100];
            first = &verbs[i];
            snprintf(name, sizeof name, "tayori-%s", noun);
            snprintf(help, sizeof help, "the %s command%s of tayori", noun, verbs[i].verb ? "s" : "");
            show_title(name, "1", first->verb ? help : first->help);
            printf(".Sh SYNOPSIS\n");
        }
        if (&verbs[i] != first) printf(".Pp\n");
        show_synopsis(&verbs[i]);
    }
    if (!first) return 1;
    printf(".Sh DESCRIPTION\n");
    for (size_t i = 0; i < verb_count; i++) {
        const struct verb *v = &verbs[i];
        if (strcmp(v->noun, noun) != 0) continue;
        if (v->verb) printf(".Ss %s %s\n", v->noun, v->verb);
        printf("%s.\n", v->help);
        if (v->description) {
            printf(".Pp\n");
            show_text(v->description);
            printf("\n");
        }
        show_arguments(v);
    }
    printf(".Pp\nOptions of all commands:\n.Bl -tag -width Ds\n.It Fl -dir Ar DIR\nfolder of the store and of the control socket; default\n.Pa ./var .\n"
           ".It Fl -config Ar FILE\nthe server's configuration file,\n.Xr tayori.conf 5 .\n.It Fl -json\none JSON object a line instead of a table.\n"
           ".It Fl -help\na short help.\n.El\n"
           ".Pp\nCommands talk to the server that runs in\n.Ar DIR\nthrough its control socket, and open the store themselves when none runs.\n"
           ".Sh EXIT STATUS\n0 when it is done, 1 when it failed, 2 when the command line is wrong.\n.Sh SEE ALSO\n.Xr tayori 1 ,\n.Xr tayori.conf 5\n");
    return 0;
}

/* The nouns in order of the alphabet: the first after `before`; NULL after the last. */
static const char *next_noun(const char *before)
{
    const char *next = NULL;
    for (size_t i = 0; i < verb_count; i++)
        if (strcmp(verbs[i].noun, before) > 0 && (!next || strcmp(verbs[i].noun, next) < 0)) next = verbs[i].noun;
    return next;
}

static int show_overview(void)
{
    show_title("tayori", "1", "the mail service of an Internet provider as one program");
    printf(".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar argument ...\n.Sh DESCRIPTION\n.Nm\nreceives, keeps and serves the mail of many tenants.\nIts commands:\n"
           ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < verb_count; i++)
        printf(".It %s%s%s\n%s.\n", verbs[i].noun, verbs[i].verb ? " " : "", verbs[i].verb ? verbs[i].verb : "", verbs[i].help);
    printf(".El\n.Sh SEE ALSO\n");
    for (const char *shown = ""; (shown = next_noun(shown));) printf(".Xr tayori-%s 1 ,\n", shown);
    printf(".Xr tayori.conf 5\n");
    return 0;
}

static int show_config_page(void)
{
    show_title("tayori.conf", "5", "configuration of tayori serve");
    printf(".Sh DESCRIPTION\nThe file has sections of keys:\n.Bd -literal -offset indent\nserver {\n    name = \"mx.example.jp\"\n}\n"
           "listener \"smtp\" {\n    protocol = \"smtp\"\n    address = \"0.0.0.0\"\n    port = 25\n    tls = \"starttls\"\n}\n.Ed\n"
           ".Pp\nEvery value but ports and\n.Ic proxy_protocol\nis a text in quotes.\nComments begin with #.\n"
           ".Nm tayori config check\ntells every error with file, line and what was expected;\n"
           ".Nm tayori config show\nprints the settings in force.\nRelative paths are relative to the folder given with\n.Fl -dir .\n"
           ".Ss Keys\n.Bl -tag -width Ds\n");
    config_describe(stdout);
    printf(".El\n.Ss Listeners\nA section\n.Ic listener\nwith a name of its own for each address and port.\n.Bl -tag -width Ds\n"
           ".It Ic protocol\nsmtp (MX), lmtp, submission, imap, pop3 or http (metrics).\n"
           ".It Ic address\nan IPv4 or IPv6 address; 0.0.0.0 or :: for all.\n.It Ic port\n1 to 65535.\n"
           ".It Ic tls\nnone, starttls or implicit.\nDefault: none.\n"
           ".It Ic proxy_protocol\ntrue when a load balancer sends the PROXY protocol, version 1 or 2.\n"
           "Whoever can connect then says himself where he comes from, also that it is this machine: only the load balancer may reach such a port.\nDefault: false.\n.El\n"
           ".Ss Addresses that mail leaves from\nA section\n.Ic egress\nfor each pool of addresses; the first one that is for a message takes it, and\n"
           "what no pool is for leaves from\n"
           ".Ic outbound . source_v4\nand\n.Ic source_v6 .\n.Bl -tag -width Ds\n"
           ".It Ic addresses\na list of texts, each an address and the name that it says in EHLO:\n.Li {\\(dq192.0.2.1 mail1.example.jp\\(dq} .\n"
           ".It Ic tenants\nwhose mail it is for.\nDefault: all.\n"
           ".It Ic standings\nof the accounts that it is for, of good, new, suspicious and bulk.\nDefault: all.\n"
           ".It Ic classes\nof messages that it is for, of submitted, forwarded, bounce and notification.\nDefault: all.\n"
           ".It Ic warm_up\na list of texts, each an address of the pool, the day of its first mail and how many messages it may send on that day:\n"
           ".Li {\\(dq192.0.2.1 2026-12-01 200\\(dq} .\nOn each further day it is twice as many.\n.El\n"
           ".Sh SEE ALSO\n.Xr tayori-serve 1\n");
    return 0;
}

static bool has_page(const char *page)
{
    bool found = strcmp(page, "tayori") == 0 || strcmp(page, "tayori.conf") == 0;
    for (size_t i = 0; i < verb_count; i++) found = found || strcmp(page, verbs[i].noun) == 0;
    return found;
}

static int show_page(const char *page)
{
    return strcmp(page, "tayori") == 0 ? show_overview() : strcmp(page, "tayori.conf") == 0 ? show_config_page() : show_noun(page);
}

/* On a terminal by man(1), where there is one; the page's source for everybody else. */
int verb_man(const struct invocation *call)
{
    const char *page = json_string_value(json_object_get(call->request, "page"));
    if (strncmp(page, "tayori-", 7) == 0) page += 7;
    if (!has_page(page)) {
        fprintf(stderr, "tayori: no manual page \"%s\"\n", page);
        return 1;
    }
    FILE *reader = isatty(STDOUT_FILENO) ? popen("if command -v man >/dev/null; then exec man -l -; else exec cat; fi", "w") : NULL;
    if (!reader) return show_page(page);
    dup2(fileno(reader), STDOUT_FILENO);
    int status = show_page(page);
    fflush(stdout);
    close(STDOUT_FILENO);
    pclose(reader);
    return status;
}
