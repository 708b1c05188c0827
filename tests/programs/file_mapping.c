/* Private mappings of files: one copy of the file until somebody writes. `file_mapping FILE` */
#include "check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    int file = open(argv[1], O_RDONLY);
    struct stat status;
    fstat(file, &status);
    size_t size = (size_t)status.st_size;
    printf("size %zu\n", size);
    char *content = malloc(size);
    size_t done = 0;
    while (done < size) {
        ssize_t now = read(file, content + done, size - done);
        if (now <= 0)
            return 3;
        done += (size_t)now;
    }
    char *first = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    char *second = mmap(0, size, PROT_READ, MAP_PRIVATE, file, 0);
    CHECK(first != MAP_FAILED && second != MAP_FAILED && first != second);
    CHECK(memcmp(first, content, size) == 0 && memcmp(second, content, size) == 0);

    /* The rest of the last page reads as zeros. */
    size_t tail = (4096 - size % 4096) % 4096, zeros = 0;
    for (size_t i = 0; i < tail; i++)
        zeros += second[size + i] == 0;
    CHECK(zeros == tail);

    first[0] ^= 0x55;
    first[size - 1] ^= 0x55;
    CHECK(memcmp(second, content, size) == 0);
    char again[2];
    pread(file, again, 1, 0);
    pread(file, again + 1, 1, (off_t)size - 1);
    CHECK(again[0] == content[0] && again[1] == content[size - 1]);
    CHECK((first[0] ^ 0x55) == content[0]);

    /* Closing the file leaves its mappings. */
    RESULT(close(file));
    CHECK(memcmp(second, content, size) == 0);
    RESULT(madvise(first, 4096, MADV_DONTNEED));
    CHECK(first[0] == content[0]);

    file = open(argv[1], O_RDONLY);
    char *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE, file, 4096);
    CHECK(page != MAP_FAILED && memcmp(page, content + 4096, 4096) == 0);
    char *shared = mmap(0, size, PROT_READ, MAP_SHARED, file, 0);
    CHECK(shared != MAP_FAILED && memcmp(shared, content, size) == 0);
    RESULT(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    RESULT(mmap(0, 4096, PROT_READ, MAP_PRIVATE, file, 5));
    RESULT(mprotect(shared, 4096, PROT_READ | PROT_WRITE));
    int writer = open("/dev/null", O_WRONLY);
    RESULT(mmap(0, 4096, PROT_READ, MAP_PRIVATE, writer, 0));
    int directory = open("/", O_RDONLY | O_DIRECTORY);
    RESULT(mmap(0, 4096, PROT_READ, MAP_PRIVATE, directory, 0));
    return 0;
}
