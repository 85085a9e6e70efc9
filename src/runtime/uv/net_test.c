#include "runtime/uv/net_test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct served { struct net *net; struct stream *s; };

static void serve_main(void *argument)
{
    struct served *served = argument;
    struct stream *s = served->s;
    void (*serve)(struct stream *) = served->net->serve;
    free(served);
    serve(s);
}

static void accepted(void *argument, struct stream *s)
{
    struct served *served = malloc(sizeof *served);
    *served = (struct served){argument, s};
    coroutine_spawn(loop_scope(loop_self()), "serve", serve_main, served);
}

void net_open_with(struct net *n, struct listener_options options, void (*serve)(struct stream *s))
{
    struct fault fault = {0};
    colour_pretend_worker();
    n->serve = serve;
    options.name = "test";
    options.accepted = accepted;
    options.argument = n;
    if (!options.path) REQUIRE(address_parse(VIEW("127.0.0.1"), &options.address));
    if (listener_open(loop_family(loop_self()), &options, &n->listener, &fault) != OK) {
        test_fail(__FILE__, __LINE__, "%s", fault.detail);
        test_stop();
    }
    n->at = options.address;
    n->at.port = listener_port(n->listener);
}

void net_open(struct net *n, void (*serve)(struct stream *s)) { net_open_with(n, (struct listener_options){0}, serve); }

void net_close(struct net *n) { listener_close(n->listener); }

struct stream *net_connect(struct net *n)
{
    struct stream *s;
    struct fault fault = {0};
    REQUIRE(stream_connect(&n->at, NULL, clock_in(5000), &s, &fault) == OK);
    return s;
}

void net_run(unsigned loops, void (*body)(void *argument))
{
    struct fault fault = {0};
    struct run_options options = {.loops = loops};
    REQUIRE(run_loops(&options, body, NULL, &fault) == OK);
}

struct tls_certificate net_certificate(const char *name)
{
    static char paths[8][2][128];
    static int next;
    struct fault fault = {0};
    colour_pretend_worker();
    int i = next++ % 8;
    snprintf(paths[i][0], sizeof paths[i][0], "/tmp/tayori-test-%d-%d.crt", (int)getpid(), i);
    snprintf(paths[i][1], sizeof paths[i][1], "/tmp/tayori-test-%d-%d.key", (int)getpid(), i);
    REQUIRE(tls_make_certificate(name, paths[i][0], paths[i][1], &fault) == OK);
    return (struct tls_certificate){paths[i][0], paths[i][1]};
}

struct tls_context *net_tls(const char *name)
{
    struct tls_context *c;
    struct fault fault = {0};
    colour_pretend_worker();
    struct tls_certificate certificate = net_certificate(name);
    REQUIRE(tls_context_new_server(&certificate, 1, &c, &fault) == OK);
    unlink(certificate.certificate_file);
    unlink(certificate.key_file);
    return c;
}
