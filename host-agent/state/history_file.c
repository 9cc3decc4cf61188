/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/state/history_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/endian.h"

static const char magic[] = "aerostat-history 1\n"; /* written without its NUL */

#define MAGIC_SIZE (sizeof(magic) - 1)
#define HEADER_SIZE (MAGIC_SIZE + 16)
#define ENTRY_SIZE (16 + 2 + 2)
#define POINT_SIZE (4 * (1 + HISTORY_SERIES))

void history_kept_done(struct history_kept *kept) {
        free(kept->bytes);
        *kept = (struct history_kept) { 0 };
}

/* ---- reading ---- */

/* One that history_add() would have made: each point in a step of its own, after the one before. */
static bool check_points(const uint8_t *p, size_t n, uint32_t step_sec, uint32_t now_sec) {
        for (size_t i = 0; i < n; i++, p += POINT_SIZE)
                if (get_le32(p) > now_sec || (i > 0 && get_le32(p) / step_sec <= get_le32(p - POINT_SIZE) / step_sec))
                        return false;
        return true;
}

int history_file_check(const uint8_t *bytes, size_t size, const uint8_t boot_id[static 16], uint32_t now_sec) {
        const uint8_t *p = bytes + HEADER_SIZE, *before = NULL;

        if (size < HEADER_SIZE || memcmp(bytes, magic, MAGIC_SIZE) != 0)
                return -EBADMSG;
        if (memcmp(bytes + MAGIC_SIZE, boot_id, 16) != 0)
                return -ESTALE;
        for (size_t left = size - HEADER_SIZE; left > 0;) {
                size_t n_fine, n_coarse, length;

                if (left < ENTRY_SIZE || (before && memcmp(before, p, 16) >= 0))
                        return -EBADMSG;
                n_fine = get_le16(p + 16);
                n_coarse = get_le16(p + 18);
                length = ENTRY_SIZE + (n_fine + n_coarse) * POINT_SIZE;
                if (n_fine > HISTORY_FINE || n_coarse > HISTORY_COARSE || left < length ||
                    !check_points(p + ENTRY_SIZE, n_fine, HISTORY_FINE_SEC, now_sec) ||
                    !check_points(p + ENTRY_SIZE + n_fine * POINT_SIZE, n_coarse, HISTORY_COARSE_SEC, now_sec))
                        return -EBADMSG;
                before = p;
                p += length;
                left -= length;
        }
        return 0;
}

static int read_all(int fd, uint8_t *bytes, size_t size) {
        while (size > 0) {
                ssize_t n = read(fd, bytes, size);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return -EBADMSG; /* it has become shorter */
                if (n > 0) {
                        bytes += n;
                        size -= (size_t) n;
                }
        }
        return 0;
}

int history_file_load(const char *folder, const uint8_t boot_id[static 16], uint32_t now_sec, struct history_kept *ret) {
        _cleanup_close_ int dir = open(folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int fd = dir < 0 ? -1 : openat(dir, "history", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        _cleanup_free_ uint8_t *bytes = NULL;
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > (off_t) HISTORY_FILE_SIZE_MAX)
                return -EBADMSG;
        bytes = malloc((size_t) st.st_size);
        if (!bytes)
                return -ENOMEM;
        r = read_all(fd, bytes, (size_t) st.st_size);
        if (r >= 0)
                r = history_file_check(bytes, (size_t) st.st_size, boot_id, now_sec);
        if (r < 0)
                return r;
        *ret = (struct history_kept) { .bytes = TAKE_PTR(bytes), .size = (size_t) st.st_size };
        return 0;
}

static const uint8_t *take_points(const uint8_t *p, size_t n, struct history_point *points, size_t *ret_n) {
        for (size_t i = 0; i < n; i++, p += POINT_SIZE) {
                points[i].at_sec = get_le32(p);
                for (size_t k = 0; k < HISTORY_SERIES; k++)
                        points[i].mib[k] = get_le32(p + 4 + 4 * k);
        }
        *ret_n = n;
        return p;
}

bool history_kept_find(const struct history_kept *kept, const uint8_t uuid[static 16], struct history *ret) {
        const uint8_t *p = kept->bytes + HEADER_SIZE;

        if (!kept->bytes)
                return false;
        while (p < kept->bytes + kept->size) {
                size_t n_fine = get_le16(p + 16), n_coarse = get_le16(p + 18);

                if (memcmp(p, uuid, 16) == 0) {
                        p = take_points(p + ENTRY_SIZE, n_fine, ret->fine, &ret->n_fine);
                        (void) take_points(p, n_coarse, ret->coarse, &ret->n_coarse);
                        return true;
                }
                p += ENTRY_SIZE + (n_fine + n_coarse) * POINT_SIZE;
        }
        return false;
}

/* ---- writing ---- */

static int by_uuid(const void *a, const void *b) {
        return memcmp(((const struct history_entry *) a)->uuid, ((const struct history_entry *) b)->uuid, 16);
}

static void write_points(FILE *f, const struct history_point *ring, size_t size, size_t n) {
        for (size_t i = n > size ? n - size : 0; i < n; i++) {
                const struct history_point *point = &ring[i % size];
                uint8_t bytes[POINT_SIZE];

                put_le32(bytes, point->at_sec);
                for (size_t k = 0; k < HISTORY_SERIES; k++)
                        put_le32(bytes + 4 + 4 * k, point->mib[k]);
                fwrite(bytes, sizeof(bytes), 1, f);
        }
}

int history_file_write(FILE *f, const uint8_t boot_id[static 16], struct history_entry *entries, size_t n) {
        if (n > 0)
                qsort(entries, n, sizeof(*entries), by_uuid);
        fwrite(magic, MAGIC_SIZE, 1, f);
        fwrite(boot_id, 16, 1, f);
        for (size_t i = 0; i < n; i++) {
                const struct history *h = entries[i].history;
                uint8_t counts[4];

                put_le16(counts, (uint16_t) MIN(h->n_fine, (size_t) HISTORY_FINE));
                put_le16(counts + 2, (uint16_t) MIN(h->n_coarse, (size_t) HISTORY_COARSE));
                fwrite(entries[i].uuid, 16, 1, f);
                fwrite(counts, sizeof(counts), 1, f);
                write_points(f, h->fine, HISTORY_FINE, h->n_fine);
                write_points(f, h->coarse, HISTORY_COARSE, h->n_coarse);
        }
        return fflush(f) == 0 && !ferror(f) ? 0 : -EIO;
}

int history_file_save(const char *folder, const uint8_t boot_id[static 16], struct history_entry *entries, size_t n) {
        _cleanup_close_ int dir = open(folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int fd = dir < 0 ? -1 : openat(dir, "history.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
        int r;

        if (!f)
                return -errno;
        (void) TAKE_FD(fd); /* f's now */
        r = history_file_write(f, boot_id, entries, n);
        if (fclose(f) != 0 && r >= 0)
                r = -errno;
        if (r >= 0 && renameat(dir, "history.new", dir, "history") < 0)
                r = -errno;
        if (r < 0)
                unlinkat(dir, "history.new", 0);
        return r;
}
