/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/varlink-server.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host-agent/control/peer.h"

static void test_listener(void **state) {
        struct fixture *f = *state;
        char error[LISTENER_ERROR_MAX], path[96];
        struct listener second, third;
        struct stat st;
        int fd;

        /* The server of the fixture holds the lock. */
        assert_int_equal(listener_open(f->path, 0600, (gid_t) -1, &second, error), -EADDRINUSE);
        assert_non_null(strstr(error, "another aerostatd is running"));

        /* Somebody answers who knows no lock. */
        snprintf(path, sizeof(path), "%s/new/socket", f->folder);
        assert_int_equal(listener_open(path, 0660, getgid(), &second, error), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);
        assert_int_equal(listener_set_access(&second, 0666, (gid_t) -1), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0666);
        close(second.lock_fd);
        second.lock_fd = -1;
        assert_int_equal(listener_open(path, 0600, (gid_t) -1, &third, error), -EADDRINUSE);
        assert_non_null(strstr(error, "answers on"));

        /* A leftover is replaced. */
        close(second.fd);
        assert_int_equal(listener_open(path, 0600, (gid_t) -1, &third, error), 0);
        listener_close(&third);
        assert_int_equal(access(path, F_OK), -1);

        /* What is no socket is left alone. */
        fd = open(path, O_CREAT | O_WRONLY, 0600);
        close(fd);
        assert_int_equal(listener_open(path, 0600, (gid_t) -1, &third, error), -EEXIST);
        unlink(path);
        strcat(path, ".lock");
        unlink(path);
        snprintf(path, sizeof(path), "%s/new", f->folder);
        rmdir(path);

        assert_int_equal(listener_open("/tmp/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0600, (gid_t) -1, &third, error), -ENAMETOOLONG);
        assert_int_equal(listener_open("/proc/nowhere/socket", 0600, (gid_t) -1, &third, error), -ENOENT);
}

static void test_peer(void **state) {
        uid_t uid = 12345;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(peer_uid(pair[0], &uid), 0);
        assert_int_equal(uid, getuid());
        assert_int_equal(peer_in_group(pair[0], getegid()), 1);
        assert_int_equal(peer_in_group(pair[0], 3999999999u), 0);
        close(pair[0]);
        close(pair[1]);
        assert_true(peer_uid(-1, &uid) < 0);
        assert_true(peer_in_group(-1, 0) < 0);
}

int main(void) {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        const struct CMUnitTest tests[] = {
                WITH_SERVER(test_listener),
                cmocka_unit_test(test_peer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
