/* mallocs - an LD_PRELOAD layer that counts allocations and copied bytes of a process, and of those that it starts. The counts
 * stand in the file named by MALLOCS_FILE (four native 64-bit numbers: allocations, bytes asked for, frees, bytes copied by calls
 * of memcpy and memmove), so that another process can read them at any moment. What the compiler or libc copies without
 * such a call is not seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t count, size_t n);
extern void *__libc_realloc(void *old, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);

struct counts {
    atomic_uint_fast64_t allocations, bytes, frees, copied;
};

static struct counts unseen;
static struct counts *counts = &unseen;

__attribute__((constructor)) static void show(void)
{
    const char *file = getenv("MALLOCS_FILE");
    int fd = file ? open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    void *p;

    if (fd < 0) return;
    if (ftruncate(fd, 4096) == 0) {
        p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p != MAP_FAILED) counts = p;
    }
    close(fd);
}

static void count(size_t n)
{
    atomic_fetch_add_explicit(&counts->allocations, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts->bytes, n, memory_order_relaxed);
}

void *malloc(size_t n)
{
    count(n);
    return __libc_malloc(n);
}

void *calloc(size_t many, size_t n)
{
    count(many * n);
    return __libc_calloc(many, n);
}

void *realloc(void *old, size_t n)
{
    count(n);
    return __libc_realloc(old, n);
}

void *memalign(size_t align, size_t n)
{
    count(n);
    return __libc_memalign(align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    count(n);
    return __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    count(n);
    *out = __libc_memalign(align, n);
    return *out ? 0 : ENOMEM;
}

void free(void *p)
{
    if (p) atomic_fetch_add_explicit(&counts->frees, 1, memory_order_relaxed);
    __libc_free(p);
}

static void *copy_up(void *to, const void *from, size_t n)
{
    void *end = to;

    atomic_fetch_add_explicit(&counts->copied, n, memory_order_relaxed);
    __asm__ volatile("rep movsb" : "+D"(end), "+S"(from), "+c"(n) : : "memory");
    return to;
}

static void *copy(void *to, const void *from, size_t n)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    if ((uintptr_t)t - (uintptr_t)f >= n) return copy_up(to, from, n);
    atomic_fetch_add_explicit(&counts->copied, n, memory_order_relaxed);
    while (n-- > 0) /* they overlap: from the end */
        ((volatile uint8_t *)t)[n] = f[n];
    return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
    return copy_up(to, from, n);
}

void *memmove(void *to, const void *from, size_t n)
{
    return copy(to, from, n);
}

/* What _FORTIFY_SOURCE makes of them. */
void *__memcpy_chk(void *to, const void *from, size_t n, size_t room);
void *__memmove_chk(void *to, const void *from, size_t n, size_t room);

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room)
{
    if (n > room) abort();
    return copy_up(to, from, n);
}

void *__memmove_chk(void *to, const void *from, size_t n, size_t room)
{
    if (n > room) abort();
    return copy(to, from, n);
}
