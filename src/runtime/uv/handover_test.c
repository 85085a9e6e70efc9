/* A connection made between two programs, while nobody accepts, is served by the second. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/sanitize.h"
#include "runtime/uv/net_test.h"

static const char port_file[] = "/tmp/tayori-test-handover.port";


static void serve_name(struct stream *s)
{
    colour_pretend_coroutine();
    view answer = getenv("TAYORI_TEST_SECOND") ? VIEW("second") : VIEW("first");
    EXPECT(stream_write(s, &answer, 1, clock_in(1000), NULL) == OK);
    stream_close(s);
}

static void first_program(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    net_open(&n, serve_name);
    FILE *f = fopen(port_file, "w");
    fprintf(f, "%u", n.at.port);
    fclose(f);
    EXPECT(run_wait_signal() == SIGUSR2);
    listener_bequeath();
    net_close(&n);
}

static void second_program(void *argument)
{
    colour_pretend_coroutine();
    struct net n;
    net_open(&n, serve_name);      /* port 0, as the first asked */
    listener_forget_inherited();
    (void)!coroutine_sleep(60000);
}

/* Started by the test below through exec; alone it has nothing to do. */
TEST(handover_second_program)
{
    if (!getenv("TAYORI_TEST_SECOND")) test_skip("runs only as the second program of a hand-over");
    net_run(2, second_program);
}

static int connect_blocking(uint16_t port)
{
    struct { sa_family_t family; uint16_t port; uint32_t address; char zero[8]; } in = {AF_INET, (uint16_t)(port << 8 | port >> 8), 0x0100007f, ""};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (void *)&in, sizeof in) == 0) return fd;
    close(fd);
    return -1;
}

static void read_answer(int fd, char answer[16])
{
    ssize_t got = read(fd, answer, 15);
    answer[got > 0 ? got : 0] = '\0';
    close(fd);
}

static uint16_t wait_for_port(void)
{
    for (int i = 0; i < 500; i++) {
        unsigned port = 0;
        FILE *f = fopen(port_file, "r");
        if (f && fscanf(f, "%u", &port) != 1) port = 0;
        if (f) fclose(f);
        if (port) return (uint16_t)port;
        usleep(10000);
    }
    return 0;
}

static void be_first(void)
{
    struct run_options options = {.loops = 2};
    if (run_loops(&options, first_program, NULL, NULL) != OK) _exit(3);
    usleep(300000);                /* connections wait in the kernel's queue meanwhile */
    setenv("TAYORI_TEST_SECOND", "1", 1);
    execl("/proc/self/exe", "unit-uv", "--no-fork", "handover_second_program", (char *)NULL);
    _exit(4);
}

TEST(a_hand_over_by_exec_refuses_nobody)
{
    char answer[16];
#ifdef SANITIZE_TSAN
    test_skip("ThreadSanitizer does not survive a fork of a fork with threads");
#endif
    unlink(port_file);
    pid_t program = fork();
    if (program == 0) be_first();
    uint16_t port = wait_for_port();
    REQUIRE(port != 0);
    int fd = connect_blocking(port);
    REQUIRE(fd >= 0);
    read_answer(fd, answer);
    EXPECT_VIEW(view_of(answer), VIEW("first"));
    kill(program, SIGUSR2);
    int refused = 0, seconds = 0, waiting[60];
    for (int i = 0; i < 60; i++) {
        waiting[i] = connect_blocking(port);
        if (waiting[i] < 0) refused++;
        usleep(20000);
    }
    for (int i = 0; i < 60; i++) {
        if (waiting[i] < 0) continue;
        read_answer(waiting[i], answer);
        if (strcmp(answer, "second") == 0) seconds++;
        else EXPECT_VIEW(view_of(answer), VIEW("first"));
    }
    EXPECT_NUMBER(refused, 0);
    EXPECT(seconds > 10);
    kill(program, SIGKILL);
    waitpid(program, NULL, 0);
    unlink(port_file);
}
